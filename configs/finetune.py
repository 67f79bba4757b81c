"""VGG16 with ImageNet's weights: a head on the frozen network, then block 5 and the head at a low learning rate.

    python main.py --config=configs/finetune.py --config.data.source=kaggle --config.data.dir=FOLDER

Variants name the optimizer of the second stage: rmsprop (the default) or sgd; `head` has no second stage. The features
of the frozen blocks are computed once per image and cached on disk. Without real images it trains on a few synthetic
smears, which takes minutes. The study's own head is `--config.model.head=flatten`.
"""

from ml_collections import config_dict

from configs import default

OPTIMIZERS = ('rmsprop', 'sgd')
HEAD = 'head'


def get_config(variant: str = 'rmsprop') -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in (*OPTIMIZERS, HEAD):
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join((*OPTIMIZERS, HEAD))}')
  c = default.get_config()
  c.data.image_size = 150
  c.data.interpolation = 'bilinear'
  c.data.embedded.num_train = 40  # photographs per class: enough to see that everything works
  c.data.embedded.num_test = 15
  c.data.embedded.num_copies = 2
  c.augment.preprocessing_function = 'weights'
  c.augment.rescale = 0.0
  c.model.name = 'vgg16'
  c.model.head = 'average'
  c.model.dropout_rate = 0.5
  c.weights.path = 'auto'
  c.stages.order = ('head',)
  c.stages.head = default.stage(('dense_.*',), 6, 'rmsprop', 1e-3)
  if variant != HEAD:
    c.stages.order = ('head', 'block5')
    # At most a tenth of the first stage's learning rate, so as not to destroy the pretrained features.
    rate = 1e-5 if variant == 'rmsprop' else 1e-4
    c.stages.block5 = default.stage(('block5_.*', 'dense_.*'), 6, variant, rate)
    c.stages.block5.momentum = 0.9 if variant == 'sgd' else 0.0
  c.train.monitor = 'val_accuracy'
  c.train.batch_size = 50
  c.train.steps_per_epoch = 0
  return c
