"""Every config key with its meaning, unit and range. The other configs override a few of them.

    python main.py --config=configs/default.py

trains the study's CNN A on synthetic smears that the package draws itself: a check that everything works.
"""

from ml_collections import config_dict


def stage(
  trainable: tuple[str, ...], epochs: int, optimizer: str, learning_rate: float
) -> config_dict.ConfigDict:
  """The section of a stage, stages.NAME; optimizer settings that are not here come from the section `optimizer`."""
  s = config_dict.ConfigDict()
  s.trainable = trainable  # patterns of the names of the weights to train; all other weights are frozen
  s.epochs = epochs  # 1 or more
  s.optimizer = optimizer  # rmsprop, adam or sgd
  s.learning_rate = learning_rate  # > 0
  s.decay = 0.0  # as optimizer.decay
  s.momentum = 0.0  # as optimizer.momentum
  s.learning_rate_multipliers = ()  # ((pattern, factor), ...), factor > 0; the first pattern that matches a weight
  s.early_stopping_patience = 0  # epochs without improvement until the stage ends; 0 for never
  s.loss = 'cross_entropy'  # cross_entropy, or svr: that of a support vector regression, see the section svr
  # Replaces the output layer when the stage begins: logistic or svr (fitted on the network's embeddings, see the
  # sections of these names) or rbf; '' keeps it.
  s.output_layer = ''
  # N > 0 trains through the auxiliary classifier behind convolution N (one more: behind the dense layers); 0 for none.
  s.auxiliary = 0
  s.is_candidate = True  # whether one of the stage's epochs can be the run's best, which is evaluated
  return s


def number_or_tuple(value: float) -> config_dict.FieldReference:
  """A key that takes a number as well as a tuple."""
  return config_dict.FieldReference(value, field_type=object)


def get_config() -> config_dict.ConfigDict:
  """The complete config; a config may not add a key that is not here."""
  c = config_dict.ConfigDict()
  # Seed of initial weights, order, dropout, augmentation and splits, in [0, 2**32); the same seed gives the same run.
  c.seed = 0

  c.data = d = config_dict.ConfigDict()
  # embedded (synthetic smears), kaggle, folders, laboratories (a folder that has one folder for each) or tfds
  d.source = 'embedded'
  d.dir = ''  # folder of the images; '' for embedded; with kaggle '' downloads the data set through kagglehub
  d.groups_csv = ''  # folders: a CSV file,group that says which images show the same photograph; '' for none
  # folders: a CSV file,label in place of class folders, such as the review page of `predict` exports, or several
  # of them separated by commas; '' for none.
  d.labels_csv = ''
  d.image_size = 64  # side of the network's square input, pixels
  # full: the whole image; nucleus: a square around the nucleus, of a fixed share of the image; cell: a square around it
  # with a side of 3 times the square root of its area, so that cells have one scale whatever the magnification;
  # cell_close: the same with 2.2 times, which shows hardly more than the cell.
  d.view = 'full'
  # Filter for resizing: nearest (as Keras' load_img), bilinear, bicubic, lanczos or box.
  d.interpolation = 'bilinear'
  d.stretch_brightness = True  # multiply each image by 255 / its maximum, as in the published copies
  d.max_pixels = 100_000_000  # larger images are refused without being decoded
  d.on_bad_image = 'fail'  # fail: list the unusable files and stop; skip: leave them out and count them
  # Decoded images: memory, disk, auto (disk if they would take over half the memory), or none: each is decoded whenever
  # it is read, for data larger than a disk (docs/scale.md).
  d.cache = 'auto'
  # tf_data; numpy, which needs no TensorFlow but does not augment or mix; device: the training images lie in the
  # memory of every device and are augmented there, for GPUs (docs/scale.md); or auto: device on an accelerator whose
  # memory holds them, if it supports the augmentation, otherwise tf_data. A run keeps what it began with.
  d.pipeline = 'auto'
  # Fraction of the training photographs that validation gets, in (0, 0.5]; unused if the data has a validation split.
  d.validation_fraction = 0.2
  # Fraction of the photographs that test gets if the data has no test split, in [0, 0.5]; 0 for none.
  d.test_fraction = 0.0
  d.allow_leak = False  # train even if a photograph, or the same image, is on both sides of a split
  d.embedded = e = config_dict.ConfigDict()  # the synthetic smears
  e.num_train = 160  # photographs per class for training and validation, 1 or more
  e.num_test = 30  # photographs per class for testing
  e.num_copies = 3  # images per photograph, each rotated, shifted and mirrored at random
  e.height = 120  # pixels, 32 or more
  e.width = 160  # pixels, 32 or more
  e.seed = 0  # of the drawing; independent of the run's seed

  # Up to crop_range: the names and meanings of Keras' ImageDataGenerator.
  c.augment = a = config_dict.ConfigDict()
  # 2: axes, brightness and ZCA as in 2018, when height_shift moved rows; 3: as today. The centre is today's in both.
  a.keras_version = 2
  a.rotation_range = 0.0  # degrees to either side
  # Shifts: below 1 a fraction of the side, from 1 on pixels; or a tuple of values to choose from.
  a.width_shift_range = number_or_tuple(0.0)
  a.height_shift_range = number_or_tuple(0.0)
  a.brightness_range = ()  # (least, greatest) factor; () for none
  a.shear_range = 0.0  # degrees to either side, in [0, 90)
  a.zoom_range = number_or_tuple(0.0)  # z for [1 - z, 1 + z], or (least, greatest) factor
  a.channel_shift_range = 0.0  # grey levels to either side
  a.fill_mode = 'nearest'  # nearest, constant, reflect or wrap
  a.cval = 0.0  # grey level for fill_mode constant
  a.horizontal_flip = False
  a.vertical_flip = False
  a.interpolation_order = 1  # 0 nearest, 1 linear, 2 to 5 splines (slow)
  # caffe, torch or tf, the modes of Keras' preprocess_input; weights: what the file of weights.path needs; '' for none.
  a.preprocessing_function = ''
  a.rescale = 1 / 255  # factor for the grey levels; 0 for none
  a.samplewise_center = False
  a.samplewise_std_normalization = False
  a.featurewise_center = False  # subtract the mean of the training images
  a.featurewise_std_normalization = False
  a.zca_whitening = False
  a.zca_epsilon = 1e-6  # > 0
  a.zca_samples = 0  # training images that ZCA is fitted on; 0 for all, at most 5,965 at 150x150
  # From here on, keys that Keras does not have.
  # (least, greatest) side of a random crop around the nucleus, as a fraction of the image's side; () for none.
  a.crop_range = ()
  # Greatest offset of the crop's centre from the nucleus, as a fraction of the crop, in [0, 0.5].
  a.crop_shift = 0.0
  a.quarter_turns = False  # rotations by 0, 90, 180 or 270 degrees, exact
  a.mirrors = False  # mirror images; with quarter_turns all eight symmetries of a square
  a.hue_range = 0.0  # shift to either side as a fraction of the colour circle, in [0, 0.5]
  a.saturation_range = ()  # (least, greatest) factor; () for none
  a.stain_range = 0.0  # s: the amount of each dye is multiplied by a factor in [1 - s, 1 + s]
  a.stain_vectors = 'giemsa'  # the dyes: giemsa or hed
  a.blur_range = 0.0  # greatest standard deviation of a Gaussian blur, pixels
  a.noise_range = 0.0  # greatest standard deviation of Gaussian noise, grey levels
  a.jpeg_quality_range = ()  # (least, greatest) quality, whole numbers in [1, 100]; () for none
  a.erasing_probability = 0.0  # probability that a rectangle of an image is erased
  a.erasing_area = (0.02, 0.2)  # (least, greatest) area of the rectangle as a fraction of the image
  # Mixup: both parameters of the beta distribution of an image's weight in a mixture of two; 0 for none.
  a.mixup_alpha = 0.0
  a.cutmix_alpha = 0.0  # CutMix: the same for pasting a rectangle of another image; 0 for none

  c.model = m = config_dict.ConfigDict()
  # cnn_a, cnn_b, cnn_svr, alexnet, vgg16, or one that ends earlier: alexnet3 with its third convolution, vgg16_block4
  # with its fourth block.
  m.name = 'cnn_a'
  m.dropout_rate = 0.2  # fraction of units dropped in training, in [0, 1)
  # flatten; rbf: neurons of radial basis functions; average: global average pooling; mean_max: global
  # average and global max pooling side by side. average and mean_max are for alexnet, vgg16 and their shorter versions.
  m.head = 'flatten'
  # cnn_svr: units of the first dense layer; alexnet and vgg16: of the hidden layer of the heads flatten and rbf.
  m.head_units = 256
  m.channels = 3  # 3, or 1: the network converts its input to grey; alexnet and vgg16 take 3
  m.rbf_units = 50  # neurons of the rbf head
  # How 3x3 convolutions are computed on a CPU. compiled: C++ code for those with pooling if there is a compiler,
  # otherwise as winograd; winograd: Winograd's algorithm in layers where it is faster; direct; auto: compiled, but a
  # run that an earlier version began keeps what it had.
  m.convolution = 'auto'
  m.auxiliary = False  # auxiliary classifiers for stages that train layer by layer; not for alexnet and vgg16

  c.weights = w = config_dict.ConfigDict()
  # Weights to start from: '' for a random initialization; auto for ImageNet weights, which the requirements install;
  # pbc for those in this package, trained on 6,169 single cells of PBC's laboratory (alexnet and alexnet3); a file;
  # or the folder of a run of this project, whose best checkpoint is read.
  w.path = ''
  w.include_top = False  # read the head too; from a run of this project with the same classes only
  # Patterns of weights not to take, each matched with the whole name: ('block5_.*',) leaves block 5 newly initialized,
  # also where the file lacks it; names that the network does not have, such as those of another head, are ignored.
  w.exclude = ()

  c.optimizer = o = config_dict.ConfigDict()
  o.name = 'rmsprop'  # rmsprop, adam or sgd, with Keras 2's formulas
  o.learning_rate = 1e-3  # > 0
  o.decay = 0.0  # the learning rate at update t is learning_rate / (1 + decay * t)
  o.rho = 0.9  # rmsprop: decay of the moving average of squared gradients
  o.momentum = 0.0  # sgd
  o.nesterov = False  # sgd
  o.beta_1 = 0.9  # adam
  o.beta_2 = 0.999  # adam
  o.epsilon = 1e-7  # rmsprop and adam: added to the root in the denominator
  o.clipvalue = 0.0  # largest magnitude of a gradient's entry; 0 for no limit
  # Largest norm of one weight's gradient, as in tf.keras and Keras 3; 0 for no limit. Keras 2.0 to 2.3 took the norm of
  # all gradients together under this name: that is global_clipnorm.
  o.clipnorm = 0.0
  o.global_clipnorm = 0.0  # largest norm of all gradients together; 0 for no limit

  c.train = t = config_dict.ConfigDict()
  t.batch_size = 50  # images per update, over all devices
  t.epochs = 12  # without stages: with stages.order, each stage has its own
  t.steps_per_epoch = 40  # updates per epoch; 0 for one pass over the training images
  t.folds = 0  # folds of a cross-validation by groups, 2 or more; 0 for a single run
  t.fold = 0  # 1 to folds: train that fold only; 0 for all, one after the other
  t.label_smoothing = 0.0  # in [0, 1)
  t.l2 = 0.0  # the loss gets l2 * the sum of squares of the dense layers' kernels
  # How training images are drawn. images: all equally often; laboratories: first a laboratory, then a class, then an
  # image (a source other than laboratories is one laboratory).
  t.draw = 'images'
  # Largest number of images of one photograph that training and validation take, drawn once per run; 0 for all. Further
  # copies of a photograph teach less than other photographs and take as much time.
  t.max_copies = 0
  # Largest number of groups (photographs, or fields of a smear) to train on, drawn once per run with every class in its
  # share; 0 for all. Validation and test stay as they are: for a learning curve.
  t.max_groups = 0
  t.class_weight = 'none'  # none, or balanced: classes weigh inversely to their frequency
  t.ema_momentum = 0.0  # of a moving average of the weights, which is evaluated in their place; 0 for none
  t.monitor = 'val_loss'  # selects the best epoch: val_loss, val_accuracy, loss or accuracy
  t.min_delta = 0.0  # smaller improvements do not count for the two patiences
  # Epochs without improvement until training ends; 0 for never. A stage has its own, as it has its epochs.
  t.early_stopping_patience = 0
  # Epochs without improvement until the learning rate is reduced, for the whole step at once; 0 for never. (In Keras,
  # SGD's momentum goes on with the earlier rate for a while.)
  t.reduce_on_plateau_patience = 0
  t.reduce_on_plateau_factor = 0.1  # the learning rate is multiplied by it, in (0, 1)
  # Lower bound of the reduced learning rate, as a fraction of the initial one.
  t.reduce_on_plateau_min_scale = 0.0
  t.checkpoint_every = 1.0  # in units of checkpoint_unit; whole, unless these are minutes
  t.checkpoint_unit = 'epochs'  # epochs, steps or minutes; the best and the last epoch are always saved
  t.num_devices = 0  # devices that share a batch; 0 for all
  # Precision of the layers during an update: float32, bfloat16, or auto: float32 on a CPU and bfloat16 on a GPU.
  # Parameters, sums, losses, evaluation and exports are float32.
  t.dtype = 'auto'
  t.parallel = 'pmap'  # how devices share a batch: pmap, or jit over a mesh; the results are the same

  c.stages = s = config_dict.ConfigDict()
  # Names of the stages, each with a section made by `stage` above; () for a single stage that trains all weights.
  s.order = ()
  # alexnet and vgg16: compute the frozen blocks once per image and train the rest on their features.
  s.cache_features = True
  # Augmented versions of each image whose features are cached, 1 or more; unused without augmentation.
  s.num_augmented = 1
  s.feature_dtype = 'float32'  # of cached features: float32 or bfloat16

  c.svr = r = config_dict.ConfigDict()  # support vector regression, one per class, on targets of +1 and -1
  r.epsilon = 0.1  # half width of the tube in which errors cost nothing, in [0, 1)
  r.cost = 1.0  # C: weight of the errors against half the squared norm of the output layer's weights, > 0

  # Logistic regression as an output layer, on features standardized and divided by the square root of their number.
  c.logistic = g = config_dict.ConfigDict()
  g.strength = 1e-3  # > 0: half of it times the sum of squares of its weights is added to the cross-entropy
  # A feature is divided by its standard deviation plus this share of the mean standard deviation, >= 0.
  g.least_spread = 0.0

  c.trees = f = config_dict.ConfigDict()  # random forest and gradient boosting on a run's features
  f.num_trees = 200  # random forest: trees
  f.min_samples_leaf = 5  # both: least number of images in a leaf
  f.max_features = 0.1  # random forest: fraction of the features considered at each split, in (0, 1]
  f.learning_rate = 0.1  # boosting: factor of each tree's values, in (0, 1]
  f.max_iter = 300  # boosting: largest number of rounds, each of one tree per class
  f.patience = 10  # boosting: rounds without improvement on validation until it ends
  f.num_permutations = 3  # permutations of each unit or channel for its importance

  c.ensemble = n = config_dict.ConfigDict()
  n.method = ''  # average, snapshot, bagging, samme, samme_r or gradient; '' for a single network
  n.members = 5  # number of networks
  n.member = 0  # 1 to members: train that member only; 0 for all of them and the ensemble
  # How the members are combined. Probabilities: mean, logits, geometric, vote or weighted; weights: swa or soup;
  # fitted on out-of-fold predictions: logistic, gradient_boosting or mlp. auto: mean, or boosting's own rule.
  n.combine = 'auto'
  n.architectures = ()  # names of networks that the members take in turn; () for model.name
  n.vectorized = 0  # number of members trained in one program: slower on a CPU, faster on a GPU; 0 for one
  n.folds = 5  # folds by groups of the out-of-fold predictions for logistic, gradient_boosting and mlp
  n.shrinkage = 0.5  # gradient: factor of each member's contribution, in (0, 1]
  n.patience = 0  # boosting: members without improvement on validation until it ends; 0 for never

  c.evaluate = v = config_dict.ConfigDict()
  v.splits = ('validation', 'test', 'test_clean', 'test_simple', 'test_originals')  # those that the data has
  v.batch_size = 50  # images; changes speed and memory only
  # Test-time augmentation: none; mirrors (mean over 4 copies); symmetries (8 copies, rotated as well); mirrors_logits
  # and symmetries_logits, the mean of the logits in place of that of the probabilities.
  v.tta = 'none'
  v.num_resamples = 2000  # bootstrap resamples of the groups, for confidence intervals
  v.confidence = 0.95  # level of the confidence intervals, in (0, 1)
  v.interval = 'bca'  # kind of bootstrap interval: bca or percentile
  v.prevalence = ()  # fraction of each class, in alphabetical order, to get figures for; () for none
  # Abstain on the least confident images until the error rate of the rest, on validation, every group counted once, is
  # at most this. At 0.05 this needs at least nine groups named without an error; with fewer it abstains on every image.
  v.max_error = 0.05
  v.miscoverage = 0.1  # fraction of conformal sets that may miss the label, in (0, 1)
  # Share of images like the training images that may be withheld as unlike them, in [0, 0.5]; of another laboratory's
  # images nearly all are withheld.
  v.unlike_share = 0.03
  # Whether images in a folder of another laboratory's material are classified with their features shifted and scaled to
  # the mean and spread of the training images' features; takes 30 images or more, and one network without the rbf head.
  v.align_features = False
  v.conformal_score = 'lac'  # of the conformal sets: lac or aps
  return c
