"""Every key there is, with its unit and meaning. The other configs override a few of these.

    python main.py --config=configs/default.py

trains the study's CNN A on synthetic smears that the package draws itself: a check that everything works.
"""

from ml_collections import config_dict


def stage(
  trainable: tuple[str, ...], epochs: int, optimizer: str, learning_rate: float
) -> config_dict.ConfigDict:
  """The section of a stage; what it does not say of its optimizer is in the section `optimizer`."""
  s = config_dict.ConfigDict()
  s.trainable = trainable  # patterns of the names of the weights that are trained; the others are frozen
  s.epochs = epochs
  s.optimizer = optimizer  # rmsprop, adam or sgd
  s.learning_rate = learning_rate
  s.decay = 0.0  # as in the section optimizer
  s.momentum = 0.0  # sgd
  s.learning_rate_multipliers = ()  # ((pattern, factor), ...): of single weights' rates; the first match wins
  s.early_stopping_patience = 0  # epochs without a gain until the stage ends; 0 for never
  s.loss = 'cross_entropy'  # cross_entropy, or svr: the support vector regression of the section svr
  s.top = (
    ''  # what replaces the network's top at the beginning, fitted on its features: svr or rbf; '' keeps it
  )
  s.auxiliary = (
    0  # N: train by the top behind the N-th convolution, or, one more, the dense layers; 0 for none
  )
  s.is_candidate = True  # whether one of its epochs may be the best of the run, which is scored
  return s


def number_or_tuple(value: float) -> config_dict.FieldReference:
  """A key that takes a number as well as a tuple."""
  return config_dict.FieldReference(value, field_type=object)


def get_config() -> config_dict.ConfigDict:
  """The complete config; a config may not add a key that is not here."""
  c = config_dict.ConfigDict()
  c.seed = 0  # of the weights, the order, dropout, augmentation and the split; the same seed, the same run

  c.data = d = config_dict.ConfigDict()
  d.source = 'embedded'  # embedded (synthetic), kaggle, folders or tfds
  d.dir = ''  # the folder of the images; empty for embedded; empty with kaggle fetches it by kagglehub
  d.groups_csv = ''  # folders: CSV of file,group saying which images show the same photograph; empty for none
  d.labels_csv = (
    ''  # folders: CSV of file,label in the place of class folders, such as predict's review page exports
  )
  d.image_size = 64  # pixels a side that the network sees
  d.view = 'full'  # full: the whole image; nucleus: a square crop around the nucleus
  d.interpolation = 'bilinear'  # of resizing: nearest (as Keras' load_img), bilinear, bicubic, lanczos or box
  d.stretch_brightness = True  # scale each image by 255/max, as the published copies were saved
  d.max_pixels = 100_000_000  # an image with more is refused unread
  d.on_bad_image = 'fail'  # fail: name the unusable files and stop; skip: leave them out and count them
  d.cache = 'auto'  # decoded images: memory, disk, or auto (disk when they would take over half the memory)
  d.pipeline = 'tf_data'  # tf_data, or numpy where TensorFlow is not installed (does not augment or mix)
  d.validation_fraction = 0.2  # of the training photographs, in (0, 0.5]; unused where the data has its own
  d.test_fraction = 0.0  # of the photographs, in [0, 0.5], where the data has no test split; 0 for none
  d.allow_leak = (
    False  # train though images of one photograph, or the same image, lie on both sides of a split
  )
  d.embedded = e = config_dict.ConfigDict()  # the synthetic smears
  e.num_train = 160  # photographs a class to train and validate on
  e.num_test = 30  # photographs a class to test on
  e.num_views = 3  # images made of each photograph
  e.height = 120  # pixels
  e.width = 160  # pixels
  e.seed = 0  # of the drawing, apart from the run's seed

  c.augment = a = config_dict.ConfigDict()  # the first part with the words of Keras' ImageDataGenerator
  a.keras_version = 2  # 2: axes, brightness and ZCA as in 2018, when height_shift moved rows; 3: as today
  a.rotation_range = 0.0  # degrees to either side
  a.width_shift_range = number_or_tuple(
    0.0
  )  # below 1 a share of the side, else pixels; or a tuple to choose from
  a.height_shift_range = number_or_tuple(0.0)
  a.brightness_range = ()  # the least and the greatest factor; () for none
  a.shear_range = 0.0  # degrees to either side, in [0, 90)
  a.zoom_range = number_or_tuple(0.0)  # z for [1 - z, 1 + z], or the least and the greatest factor
  a.channel_shift_range = 0.0  # grey levels to either side
  a.fill_mode = 'nearest'  # nearest, constant, reflect or wrap
  a.cval = 0.0  # grey level of fill_mode constant
  a.horizontal_flip = False
  a.vertical_flip = False
  a.interpolation_order = 1  # 0 nearest, 1 linear, 2 to 5 splines (slow)
  a.preprocessing_function = ''  # caffe, torch or tf, the modes of Keras' preprocess_input; '' for none
  a.rescale = 1 / 255  # grey levels are multiplied by it; 0 for nothing
  a.samplewise_center = False
  a.samplewise_std_normalization = False
  a.featurewise_center = False  # by the mean of the training images
  a.featurewise_std_normalization = False
  a.zca_whitening = False
  a.zca_epsilon = 1e-6
  a.zca_samples = 0  # training images that ZCA is fitted on; 0 for all, at most 5,965 at 150x150
  # Beyond Keras, from here on.
  a.crop_range = ()  # least and greatest share of the sides of a random crop around the nucleus; () for none
  a.crop_shift = 0.0  # how far the crop's middle may lie from the nucleus, in shares of the crop, in [0, 0.5]
  a.quarter_turns = False  # by 0, 90, 180 or 270 degrees, exactly
  a.mirrors = False  # with quarter_turns all eight symmetries of a smear
  a.hue_range = 0.0  # to either side, of the colour circle, in [0, 0.5]
  a.saturation_range = ()  # the least and the greatest factor
  a.stain_range = 0.0  # s: the amount of each dye is multiplied by a factor in [1 - s, 1 + s]
  a.stain_vectors = 'giemsa'  # giemsa or hed: which dyes
  a.blur_range = 0.0  # greatest standard deviation of a Gaussian blur, pixels
  a.noise_range = 0.0  # greatest standard deviation of noise, grey levels
  a.jpeg_quality_range = ()  # the least and the greatest quality, whole numbers in 1..100
  a.erasing_probability = 0.0  # share of images that lose a rectangle
  a.erasing_area = (0.02, 0.2)  # its least and greatest share of the image
  a.mixup_alpha = 0.0  # of the beta distribution of an image's share in a mixture of two; 0 for none
  a.cutmix_alpha = 0.0  # the same for a rectangle of another image; 0 for none

  c.model = m = config_dict.ConfigDict()
  m.name = 'cnn_a'  # cnn_a, cnn_b, hybrid or vgg16
  m.dropout_rate = 0.2  # share of units dropped in training, in [0, 1)
  m.head = 'flatten'  # flatten; rbf, with neurons of radial basis functions; vgg16: average, over the map
  m.head_units = 256  # vgg16, but for the average head: of its hidden layer; hybrid: of the first dense layer
  m.channels = 3  # 3, or 1: the network makes grey of the colours; vgg16 has 3
  m.rbf_units = 50  # neurons of the rbf head
  m.auxiliary = False  # a top behind each convolution, for stages that train one at a time; not vgg16

  c.weights = w = config_dict.ConfigDict()
  # Of the features: '' for fresh ones, auto for ImageNet's that came with the requirements, a file, or the folder of a
  # run of this project, whose best checkpoint is taken.
  w.path = ''
  w.include_top = (
    False  # of a run of this project (its folder, or model.safetensors): its head too, for the same classes
  )
  w.left_out = ()  # patterns of names in the file that are not wanted, such as another head

  c.svr = r = config_dict.ConfigDict()  # support vector regression, one a class on targets of +1 and -1
  r.epsilon = 0.1  # errors up to it cost nothing, in [0, 1)
  r.cost = 1.0  # C: what an error beyond epsilon weighs beside half the squared norm of the top's weights

  c.trees = f = config_dict.ConfigDict()  # random forest and gradient boosting on a run's features
  f.num_trees = 200  # of the forest
  f.min_samples_leaf = 5  # images that a leaf holds at least, of both
  f.max_features = 0.1  # the forest: share of the features among which a node chooses, in (0, 1]
  f.learning_rate = 0.1  # boosting: what each tree's values are multiplied by, in (0, 1]
  f.max_iter = 300  # boosting: rounds at most, each of one tree a class
  f.patience = 10  # boosting: rounds without a gain on validation until it ends
  f.num_permutations = 3  # of each unit or channel, for its importance

  c.optimizer = o = config_dict.ConfigDict()
  o.name = 'rmsprop'  # rmsprop, adam or sgd, with Keras 2's formulas
  o.learning_rate = 1e-3
  o.decay = 0.0  # the rate at update t is learning_rate / (1 + decay t)
  o.rho = 0.9  # rmsprop: memory of the squared gradients
  o.momentum = 0.0  # sgd
  o.nesterov = False  # sgd
  o.beta_1 = 0.9  # adam
  o.beta_2 = 0.999  # adam
  o.epsilon = 1e-7  # rmsprop and adam: added to the root
  o.clipvalue = 0.0  # largest magnitude of a gradient entry; 0 for no limit
  o.clipnorm = 0.0  # largest norm of one weight's gradient; 0 for no limit
  o.global_clipnorm = 0.0  # largest norm of all gradients together; 0 for no limit

  c.stages = s = config_dict.ConfigDict()
  s.order = ()  # names of the stages; each has a section of its own made by `stage` below; () for one of all weights
  s.cache_features = True  # vgg16: compute what is frozen once an image and train the rest from that
  s.num_views = 1  # augmented views of an image that are kept; without augmentation they are all the same
  s.feature_dtype = 'float32'  # of what is kept: float32 or bfloat16

  c.train = t = config_dict.ConfigDict()
  t.batch_size = 50  # images an update, over all devices
  t.epochs = 12  # where stages.order names none: stages have their own
  t.steps_per_epoch = 40  # updates; 0 for one pass over the training images
  t.folds = 0  # of a cross-validation by groups, 2 or more; 0 for one run
  t.fold = 0  # 1 to folds: train that fold alone; 0 for each in turn
  t.label_smoothing = 0.0  # in [0, 1)
  t.l2 = 0.0  # times the sum of squares of the dense layers' kernels, added to what is minimised
  t.class_weight = 'none'  # none, or balanced: rare classes weigh more
  t.ema_momentum = 0.0  # of a running mean of the weights, used for evaluation; 0 for none
  t.monitor = 'val_loss'  # what makes an epoch the best: val_loss, val_accuracy, loss or accuracy
  t.min_delta = 0.0  # gains below this do not count for the two patiences
  t.early_stopping_patience = 0  # epochs without a gain until training ends; 0 for never
  t.reduce_on_plateau_patience = 0  # epochs without a gain until the rate is lowered; 0 for never
  t.reduce_on_plateau_factor = 0.1  # what the rate is multiplied by then
  t.reduce_on_plateau_min_scale = 0.0  # the least share of the rate that is left
  t.checkpoint_every = 1.0  # in units of checkpoint_unit
  t.checkpoint_unit = 'epochs'  # epochs, steps or minutes; best and last epochs are always saved
  t.num_devices = 0  # devices to spread a batch over; 0 for all

  c.ensemble = n = config_dict.ConfigDict()
  n.method = ''  # average, snapshot, bagging, samme, samme_r or gradient; '' for a single network
  n.members = 5  # networks
  n.member = 0  # 1 to members: train that one alone; 0 for all and the ensemble of them
  n.combine = (
    'auto'  # auto: mean, or boosting's own; mean, logits, geometric, vote, weighted; swa, soup; or learned
  )
  # from predictions out of fold: logistic, gradient_boosting, mlp
  n.architectures = ()  # names of networks that the members take in turn; () for all as in the section model
  n.together = 0  # members trained in one program at once; 0: one on a CPU, as many as fit on a GPU
  n.folds = 5  # by groups, of the predictions that logistic, gradient_boosting and mlp are fitted on
  n.shrinkage = 0.5  # in (0, 1]: of each member's step in gradient boosting
  n.patience = 0  # members without a gain on validation until boosting ends; 0 for never

  c.evaluate = v = config_dict.ConfigDict()
  v.splits = ('validation', 'test', 'test_clean', 'test_simple', 'test_originals')  # those the data has
  v.batch_size = 50  # images; changes speed and memory, not figures
  v.views = 'none'  # copies of an image that are predicted and averaged: none; mirrors (4); symmetries (8, turned too)
  v.num_resamples = 2000  # of the groups, for the intervals
  v.confidence = 0.95  # of the intervals
  v.interval = 'bca'  # bca or percentile: how the resamples become an interval
  v.prevalence = ()  # share of each class, in alphabetical order, where figures for it are wanted; () for none
  v.max_error = (
    0.05  # of the named images: the least certain are left for review until validation has no more
  )
  v.miscoverage = 0.1  # share of images whose set of classes may miss the label
  v.conformal_score = 'lac'  # lac or aps: how such sets are made
  return c
