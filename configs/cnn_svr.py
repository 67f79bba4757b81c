"""The study's hybrid CNN-SVR at 32x32: softmax training, a fitted SVR as output layer, fine-tuning of the whole.

    python main.py --config=configs/cnn_svr.py --config.data.source=kaggle --config.data.dir=FOLDER

Variants: `svr` (the default); `layerwise` first trains each convolution through an auxiliary classifier and freezes it;
`rbf` has neurons of radial basis functions in place of the SVR; `grey` converts images to grey; `softmax` ends after
the softmax training.

Results on real images: docs/hybrid.md. Without real images it trains on the synthetic smears.
"""

from ml_collections import config_dict

from configs import default

SVR, LAYERWISE, RBF, GREY, SOFTMAX = VARIANTS = ('svr', 'layerwise', 'rbf', 'grey', 'softmax')
NUM_CONVOLUTIONS = 3
ALL = ('(conv2d|dense)_.*',)  # all weights but those of auxiliary classifiers


def get_config(variant: str = SVR) -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join(VARIANTS)}')
  c = default.get_config()
  c.data.image_size = 32
  c.data.interpolation = 'box'  # mean of the pixels, because images are reduced about tenfold
  c.model.name = 'cnn_svr'
  c.model.dropout_rate = 0.0
  c.model.head_units = 100  # not in the study; the same as its second dense layer
  c.model.channels = 1 if variant == GREY else 3
  c.model.head = 'rbf' if variant == RBF else 'flatten'
  c.model.auxiliary = variant in (LAYERWISE, RBF)
  c.stages.order = order(variant)
  for i in range(1, NUM_CONVOLUTIONS + 1):
    if variant == LAYERWISE:
      weights = (f'conv2d_{i}/.*', f'auxiliary_{i}/.*')
      c.stages[f'layer_{i}'] = pretraining(default.stage(weights, 5, 'rmsprop', 1e-3), i)
  if variant == RBF:
    # The features are trained through a softmax classifier, whose weights are then dropped.
    features = ('(conv2d|dense_[12]|auxiliary_4).*',)
    c.stages.softmax = pretraining(default.stage(features, 40, 'rmsprop', 1e-3), NUM_CONVOLUTIONS + 1)
  else:
    c.stages.softmax = default.stage(ALL, 40, 'rmsprop', 1e-3)
    c.stages.softmax.is_candidate = variant == SOFTMAX
  if variant == RBF:
    c.stages.rbf = default.stage(('(conv2d|dense|rbf)_.*',), 20, 'sgd', 3e-4)
    c.stages.rbf.output_layer = 'rbf'
    c.stages.rbf.momentum = 0.9
  elif variant != SOFTMAX:
    c.stages.svr = default.stage(ALL, 20, 'sgd', 3e-4)
    c.stages.svr.loss = 'svr'
    c.stages.svr.output_layer = 'svr'
    c.stages.svr.momentum = 0.9
  c.train.monitor = 'val_accuracy'
  c.train.batch_size = 50
  c.train.steps_per_epoch = 0
  return c


def order(variant: str) -> tuple[str, ...]:
  """The names of a variant's stages, in order."""
  layers = tuple(f'layer_{i}' for i in range(1, NUM_CONVOLUTIONS + 1)) if variant == LAYERWISE else ()
  last = {SOFTMAX: (), RBF: ('rbf',)}.get(variant, ('svr',))
  return (*layers, 'softmax', *last)


def pretraining(stage: config_dict.ConfigDict, auxiliary: int) -> config_dict.ConfigDict:
  """The stage, trained through an auxiliary classifier; none of its epochs can be the run's best."""
  stage.auxiliary = auxiliary
  stage.is_candidate = False
  return stage
