"""The best recipe on the Kaggle images: AlexNet, begun with weights of another laboratory's cells: see docs/best.md.

    python main.py --config=configs/best.py:quick --config.data.source=kaggle --config.data.dir=FOLDER

The convolutions of AlexNet, trained on the single cells of PBC (`weights.path='pbc'`), look at a crop around the
nucleus. A logistic regression is fitted on mean and maximum of their maps, then all but the first
convolution is fine-tuned, each class and each photograph drawn alike. Variants: `quick`, one network; `frozen`, the
logistic regression alone on ImageNet's weights, in minutes; `whole` (the default), five networks of other
seeds, which are no better on TEST. Without real images they run on a few synthetic smears.
"""

from ml_collections import config_dict

from configs import default

QUICK, WHOLE, FROZEN = VARIANTS = ('quick', 'whole', 'frozen')


def get_config(variant: str = WHOLE) -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join(VARIANTS)}')
  c = default.get_config()
  c.data.view = 'nucleus'
  c.data.image_size = 224  # twice what a copy has: the first convolution has a stride of 4
  c.data.validation_fraction = 0.1  # one or two of the 16 photographs of monocytes
  c.data.embedded.num_train = 40  # photographs per class: enough to see that everything works
  c.data.embedded.num_test = 15
  c.data.embedded.num_copies = 2
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  c.model.name = 'alexnet'
  c.model.head = 'mean_max'
  c.train.max_copies = 10
  c.train.class_weight = 'balanced'
  # The fit is the training of its stage: one update at this rate leaves every weight as it was fitted.
  c.stages.order = ('fit',)
  c.stages.fit = default.stage(('dense_.*',), 1, 'sgd', 1e-12)
  c.stages.fit.output_layer = 'logistic'
  if variant == FROZEN:
    c.model.name = 'alexnet3'  # what the later convolutions know of ImageNet's things does not help
    c.weights.path = 'auto'
    c.model.dropout_rate = 0.0
    c.logistic.strength = 1e-3
    c.train.steps_per_epoch = 1
    return c
  _fine_tuned(c)
  if variant == WHOLE:
    c.ensemble.method = 'average'
    c.ensemble.members = 5
  return c


def _fine_tuned(c: config_dict.ConfigDict) -> None:
  c.weights.path = 'pbc'
  c.model.dropout_rate = 0.3
  c.augment.quarter_turns = True
  c.augment.mirrors = True
  c.augment.rotation_range = 45.0
  c.augment.zoom_range = (0.88, 1.13)
  c.augment.width_shift_range = 0.08
  c.augment.height_shift_range = 0.08
  c.augment.shear_range = 10.0
  c.augment.fill_mode = 'reflect'
  c.augment.brightness_range = (0.85, 1.0)
  c.augment.saturation_range = (0.9, 1.1)
  c.augment.stain_range = 0.1
  c.augment.blur_range = 1.5
  c.logistic.strength = 1e-2
  c.train.class_weight = 'none'
  c.train.draw = 'laboratories'  # the class first, then the image
  c.train.label_smoothing = 0.1
  c.train.ema_momentum = 0.99
  c.train.steps_per_epoch = 60
  c.stages.cache_features = False
  c.stages.order = ('fit', 'fine')
  c.stages.fine = default.stage(('block[2-5]_.*', 'dense_.*'), 8, 'adam', 1e-4)
  c.stages.fine.decay = 2e-3
  c.evaluate.tta = 'symmetries'
