"""Frozen AlexNet, a logistic regression on pooled features, chosen by cross-validation on TRAIN: see docs/best.md.

    python main.py --config=configs/best.py:quick --config.data.source=kaggle --config.data.dir=FOLDER

AlexNet's first three convolutions with ImageNet's weights look at a crop around the nucleus; a logistic regression is
fitted on mean and maximum of their maps. Variants: `quick` takes ten copies of each photograph; `whole` (the default)
takes all and answers by the mean over eight symmetries, which has not been scored. Without real images it runs on a
few synthetic smears.
"""

from ml_collections import config_dict

from configs import default

QUICK, WHOLE = VARIANTS = ('quick', 'whole')


def get_config(variant: str = WHOLE) -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join(VARIANTS)}')
  c = default.get_config()
  c.data.view = 'nucleus'
  c.data.image_size = 224  # twice what a copy has: the first convolution has a stride of 4
  c.data.validation_fraction = 0.1  # two of the 16 photographs of monocytes
  c.data.embedded.num_train = 40  # photographs per class: enough to see that everything works
  c.data.embedded.num_test = 15
  c.data.embedded.num_copies = 2
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  c.weights.path = 'auto'
  c.model.name = 'alexnet3'
  c.model.head = 'mean_max'
  c.model.dropout_rate = 0.0
  # The fit is the training: one update at this rate leaves every weight as it was fitted.
  c.stages.order = ('fit',)
  c.stages.fit = default.stage(('dense_.*',), 1, 'sgd', 1e-12)
  c.stages.fit.output_layer = 'logistic'
  c.logistic.strength = 1e-3
  c.train.steps_per_epoch = 1
  c.train.class_weight = 'balanced'
  c.train.max_copies = 10 if variant == QUICK else 0
  c.evaluate.tta = 'none' if variant == QUICK else 'symmetries'
  return c
