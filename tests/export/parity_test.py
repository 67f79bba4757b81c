"""Every format says what the run's own network says, for each network and each way of standardizing."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
import trained

from bloodcell_jax.base import tree, types
from bloodcell_jax.export import formats, parity, plain, program

NUM = 6  # images: one alone, then the others
ALL = tuple(formats.FORMATS)
QUICK = 'safetensors' if formats.FORMATS['onnx'].missing() else 'onnx'


def vgg(function: str) -> dict[str, object]:
  return {'augment.preprocessing_function': function, 'augment.rescale': 0.0, 'model.head': 'average'}


# (network, changes of its config, formats)
CASES = {
  # cnn_a as the study has it is what folder_test.py exports.
  'cnn_b': ('cnn_b', {}, ALL),
  'samplewise': ('cnn_a', {'augment.samplewise_std_normalization': True}, ALL),
  'featurewise': ('cnn_a', {'augment.featurewise_std_normalization': True}, ALL),
  'zca': ('cnn_a', {'augment.zca_whitening': True, 'augment.zca_epsilon': 0.01}, ALL),
  'caffe': ('vgg16', vgg('caffe'), ALL),
  'grey, every symmetry': ('cnn_a', {'model.channels': 1, 'evaluate.tta': 'symmetries'}, (QUICK,)),
  # One format each, because to compile this network takes most of the time.
  'torch': ('vgg16', vgg('torch'), (QUICK,)),
  'tf': ('vgg16', vgg('tf'), (QUICK,)),
}


LONG = ('samplewise', 'torch', 'tf')


@pytest.mark.parametrize(
  'case', [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in CASES]
)
def test_each_format_says_what_the_run_says(case, tmp_path):
  model, changes, names = CASES[case]
  loaded = trained.load(model, trained.RULE, **changes)
  exported = program.build(loaded)
  # Two images are two batches of one, for the networks that take long to compile for another size.
  num = NUM if model == 'cnn_a' else 2
  images = trained.images(exported.image_size, num)
  expected_NK = parity.reference(loaded, images.image_NHWC)
  # Else a program that gave the same whatever it sees would pass.
  assert np.ptp(expected_NK, axis=0).max() > 0.05
  for name in names:
    known = formats.FORMATS[name]
    if known.missing():
      assert name == 'onnx', 'the other formats need requirements.txt alone'
      continue
    path = tmp_path / known.file
    known.write(path, exported)
    found = parity.check(name, known.read(path, exported), images, expected_NK, 5)
    assert found.num_images == num
    assert found.max_difference < 1e-5
    assert found.top1_agreement == 1


@pytest.fixture(scope='module')
def caffe():
  """A network that wants BGR, and what it says of images."""
  changes = {'augment.preprocessing_function': 'caffe', 'augment.rescale': 0.0}
  loaded = trained.load('cnn_a', trained.RULE, **changes)
  images = trained.images(trained.SIZES['cnn_a'], NUM)
  expected_NK = parity.reference(loaded, images.image_NHWC)
  np.testing.assert_allclose(expected_NK, trained.probabilities(loaded, images.image_NHWC), atol=1e-5)
  return program.build(loaded), images, expected_NK


def as_function(exported: program.Program):
  call = jax.jit(exported.probabilities)
  return lambda image_BHWC: np.asarray(call(exported.weights, image_BHWC))


def test_the_check_passes_what_is_right_and_refuses_what_is_not(caffe):
  exported, images, expected_NK = caffe
  run = as_function(exported)
  parity.check('right', run, images, expected_NK, NUM)
  torch = dataclasses.replace(exported.standardize, preprocessing_function='torch')
  wrong = {
    'another convention': as_function(dataclasses.replace(exported, standardize=torch)),
    'swapped channels': lambda image_BHWC: run(image_BHWC[..., ::-1].copy()),
    'no temperature': as_function(dataclasses.replace(exported, temperature=1.0)),
    'swapped classes': lambda image_BHWC: run(image_BHWC)[:, ::-1],
    'no numbers': lambda image_BHWC: run(image_BHWC) * np.float32('nan'),
    'no batches': lambda image_BHWC: run(image_BHWC)[:1],
    'double precision': lambda image_BHWC: run(image_BHWC).astype(np.float64),
  }
  for what, function in wrong.items():
    with pytest.raises(types.RunError, match=what):
      parity.check(what, function, images, expected_NK, NUM)


def test_the_plain_forward_pass_has_only_operations_that_converters_know(caffe):
  exported, images, _ = caffe
  made, params = exported.models[0], {k: v for k, v in exported.weights.items() if '/' in k}
  nested = tree.nest(params)
  input_BHWC = images.image_NHWC.astype(np.float32)
  traced = str(jax.make_jaxpr(lambda x: plain.forward(made, nested, x))(input_BHWC))
  assert 'conv_general_dilated' in traced
  assert 'reduce_window_max' in traced
  own = str(jax.make_jaxpr(lambda x: made.apply({'params': nested}, x, np.arange(NUM), False))(input_BHWC))
  for word in ('custom_vjp', 'platform_index'):
    assert word not in traced
    assert word in own, 'the check itself must see it'
