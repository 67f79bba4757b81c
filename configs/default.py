"""Every key there is, with its unit and meaning. The other configs override a few of these.

    python main.py --config=configs/default.py

trains the study's CNN A on synthetic smears that the package draws itself: a check that everything works.
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
  """The complete config; a config may not add a key that is not here."""
  c = config_dict.ConfigDict()
  c.seed = 0  # of the weights, the order, dropout, augmentation and the split; the same seed, the same run

  c.data = d = config_dict.ConfigDict()
  d.source = 'embedded'  # embedded (synthetic), kaggle, folders or tfds
  d.dir = ''  # the folder of the images; empty for embedded; empty with kaggle fetches it by kagglehub
  d.groups_csv = ''  # folders: CSV of file,group saying which images show the same photograph; empty for none
  d.image_size = 64  # pixels a side that the network sees
  d.view = 'full'  # full: the whole image; nucleus: a square crop around the nucleus
  d.interpolation = 'bilinear'  # of resizing: nearest (as Keras' load_img), bilinear, bicubic, lanczos or box
  d.stretch_brightness = True  # scale each image by 255/max, as the published copies were saved
  d.max_pixels = 100_000_000  # an image with more is refused unread
  d.on_bad_image = 'fail'  # fail: name the unusable files and stop; skip: leave them out and count them
  d.cache = 'auto'  # decoded images: memory, disk, or auto (disk when they would take over half the memory)
  d.pipeline = 'tf_data'  # tf_data, or numpy where TensorFlow is not installed (no augmentation)
  d.validation_fraction = 0.2  # of the training photographs, in (0, 0.5]; unused where the data has its own
  d.test_fraction = 0.0  # of the photographs, in [0, 0.5], where the data has no test split; 0 for none
  d.embedded = e = config_dict.ConfigDict()  # the synthetic smears
  e.num_train = 160  # photographs a class to train and validate on
  e.num_test = 30  # photographs a class to test on
  e.num_views = 3  # images made of each photograph
  e.height = 120  # pixels
  e.width = 160  # pixels
  e.seed = 0  # of the drawing, apart from the run's seed

  c.model = m = config_dict.ConfigDict()
  m.name = 'cnn_a'  # cnn_a or cnn_b
  m.dropout_rate = 0.2  # share of units dropped in training, in [0, 1)

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

  c.train = t = config_dict.ConfigDict()
  t.batch_size = 50  # images an update, over all devices
  t.epochs = 12
  t.steps_per_epoch = 40  # updates
  t.label_smoothing = 0.0  # in [0, 1)
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

  c.evaluate = v = config_dict.ConfigDict()
  v.splits = ('validation', 'test', 'test_clean', 'test_simple', 'test_originals')  # those the data has
  v.batch_size = 50  # images; changes speed and memory, not figures
  v.num_resamples = 2000  # of the groups, for the intervals
  v.confidence = 0.95  # of the intervals
  return c
