"""A classifier for cells of laboratories that were not in training: one scale, both laboratories, wide augmentation.

    python main.py --config=configs/travel.py --config.data.source=laboratories --config.data.dir=PLACES

PLACES is a folder with a folder for each laboratory; for one alone, data.source='folders' and its folder. Variants:
`compact` (the default), AlexNet's first three convolutions, of which the third is trained, 4 MB, which is the model
in the box; `pooled`, a logistic layer on the mean and maximum of AlexNet's third convolution, in minutes; `tuned`,
all five convolutions, of which all but the first are trained; these three are to be adapted to another laboratory.
`small`, AlexNet's first three convolutions and a head of its own, 4 MB; `scratch`, CNN B at 96x96 without weights of
others, 1.6 MB; `vgg16`, a head on VGG16, then block 5 as well, which has not been trained yet. docs/travel.md and
docs/adapt.md have what was measured.
"""

from ml_collections import config_dict

from configs import default

VARIANTS = ('compact', 'pooled', 'tuned', 'small', 'scratch', 'vgg16')


def get_config(variant: str = 'compact') -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join(VARIANTS)}')
  c = default.get_config()
  c.data.view = 'cell'
  c.augment.rotation_range = 180.0
  c.augment.zoom_range = (0.8, 1.25)
  c.augment.width_shift_range = 0.06
  c.augment.height_shift_range = 0.06
  c.augment.brightness_range = (0.65, 1.0)
  c.augment.mirrors = True
  c.augment.hue_range = 0.06
  c.augment.saturation_range = (0.5, 1.6)
  c.augment.stain_range = 0.5
  c.augment.blur_range = 1.0
  c.augment.noise_range = 5.0
  c.train.draw = 'laboratories'
  c.train.label_smoothing = 0.05
  c.train.monitor = 'val_loss'
  c.train.steps_per_epoch = 100
  c.evaluate.tta = 'mirrors'
  # Those of ImageNet's weights, not of a laboratory.
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  c.weights.path = 'auto'
  c.model.head = 'average'
  c.data.embedded.num_train = 40  # photographs per class: enough to see that everything works
  c.data.embedded.num_test = 15
  c.data.embedded.num_copies = 2
  if variant == 'small':
    _small(c)
  elif variant == 'scratch':
    _scratch(c)
  elif variant == 'pooled':
    _pooled(c)
  elif variant == 'tuned':
    _tuned(c)
  elif variant == 'compact':
    _compact(c)
  else:
    _vgg16(c)
  return c


def _small(c: config_dict.ConfigDict) -> None:
  c.data.image_size = 112
  c.model.name = 'alexnet3'
  c.model.dropout_rate = 0.5
  # The first two convolutions keep ImageNet's weights, so that their output is computed once a version of an image.
  c.stages.order = ('fine',)
  c.stages.num_augmented = 6
  c.stages.feature_dtype = 'bfloat16'
  c.stages.fine = default.stage(('block3_.*', 'dense_.*'), 12, 'adam', 3e-4)
  c.stages.fine.decay = 1e-3
  c.train.ema_momentum = 0.99


def _scratch(c: config_dict.ConfigDict) -> None:
  c.data.image_size = 96
  c.model.name = 'cnn_b'
  c.model.head = 'flatten'
  c.model.dropout_rate = 0.4
  c.weights.path = ''
  c.augment.preprocessing_function = ''
  c.augment.rescale = 1 / 255
  # Narrower than for weights that know much already: with the wide ranges this network hardly learns.
  c.augment.brightness_range = (0.8, 1.0)
  c.augment.hue_range = 0.03
  c.augment.saturation_range = (0.7, 1.4)
  c.augment.stain_range = 0.2
  c.augment.noise_range = 0.0
  c.train.epochs = 24
  c.train.ema_momentum = 0.99
  c.optimizer.name = 'adam'
  c.optimizer.learning_rate = 1e-3
  c.optimizer.decay = 5e-4


def _close(c: config_dict.ConfigDict) -> None:
  """The close view of a cell, mean and maximum of the map, and of augmentation the symmetries of a square alone."""
  c.data.view = 'cell_close'
  c.model.head = 'mean_max'
  c.augment = default.get_config().augment
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  c.augment.quarter_turns = True
  c.augment.mirrors = True
  c.evaluate.tta = 'symmetries'


def _pooled(c: config_dict.ConfigDict) -> None:
  # A linear layer gains nothing from augmentation that loses pixels.
  _close(c)
  c.data.image_size = 112
  c.model.name = 'alexnet3'
  c.model.dropout_rate = 0.0
  c.evaluate.align_features = True
  c.train.draw = 'images'
  c.train.class_weight = 'balanced'
  c.logistic.strength = 3e-3
  c.logistic.least_spread = 0.1
  c.train.label_smoothing = 0.0
  c.train.steps_per_epoch = 1
  c.stages.num_augmented = 4
  # The layer is fitted when the stage begins; its one update changes next to nothing.
  c.stages.order = ('head',)
  c.stages.head = default.stage(('dense_.*',), 1, 'sgd', 1e-9)
  c.stages.head.output_layer = 'logistic'


def _tuned(c: config_dict.ConfigDict) -> None:
  _close(c)
  c.data.image_size = 128
  c.model.name = 'alexnet'
  c.model.dropout_rate = 0.3
  # As in configs/best.py: how cells vary, not how laboratories do. The labels of another laboratory say that.
  c.augment.rotation_range = 45.0
  c.augment.zoom_range = (0.88, 1.13)
  c.augment.width_shift_range = 0.05
  c.augment.height_shift_range = 0.05
  c.augment.fill_mode = 'reflect'
  c.augment.brightness_range = (0.85, 1.0)
  c.augment.saturation_range = (0.9, 1.1)
  c.augment.stain_range = 0.1
  c.logistic.strength = 1e-2
  c.train.batch_size = 64
  c.train.label_smoothing = 0.1
  c.train.ema_momentum = 0.99
  c.train.steps_per_epoch = 60
  c.stages.cache_features = False
  # It begins with a logistic layer on the features as they are.
  c.stages.order = ('fine',)
  c.stages.fine = default.stage(('block[2-5]_.*', 'dense_.*'), 8, 'adam', 1e-4)
  c.stages.fine.decay = 2e-3
  c.stages.fine.output_layer = 'logistic'


def _compact(c: config_dict.ConfigDict) -> None:
  # Of five convolutions three: no worse on another laboratory's cells, and 4 MB.
  _tuned(c)
  c.model.name = 'alexnet3'
  c.evaluate.align_features = True
  c.stages.fine.trainable = ('block3_.*', 'dense_.*')
  c.stages.fine.epochs = 20


def _vgg16(c: config_dict.ConfigDict) -> None:
  c.data.image_size = 112
  c.model.name = 'vgg16'
  c.model.dropout_rate = 0.5
  c.stages.order = ('head', 'fine')
  c.stages.num_augmented = 3
  c.stages.head = default.stage(('dense_.*',), 6, 'adam', 1e-3)
  c.stages.fine = default.stage(('block5_.*', 'dense_.*'), 6, 'adam', 1e-5)
