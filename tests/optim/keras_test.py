"""Paths of updates against the formulas, in float64 NumPy, and against Keras' own."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.optim import keras
from configs import default

PLAIN = keras.Spec('sgd', 0.01, 0.0, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
STEPS = 50


def spec(**changes) -> keras.Spec:
  return dataclasses.replace(PLAIN, **changes)


def gradients() -> np.ndarray:
  """[50, 6] float64, over eight orders of magnitude, so that epsilon counts."""
  rng = np.random.default_rng(0)
  return rng.standard_normal((STEPS, 6)) * 10.0 ** rng.integers(-8, 1, (STEPS, 6))


def path(tx: optax.GradientTransformation) -> np.ndarray:
  """[50, 6]: the parameters after each update."""
  params = {'w': jnp.zeros(6)}
  state, out = tx.init(params), []

  @jax.jit
  def update(gradient, state, params):
    updates, state = tx.update(gradient, state, params)
    return optax.apply_updates(params, updates), state

  for g in gradients():
    params, state = update({'w': jnp.asarray(g)}, state, params)
    out.append(np.asarray(params['w']))
  return np.stack(out)


def rates(lr: float, decay: float) -> np.ndarray:
  return lr / (1 + decay * np.arange(STEPS))


def reference(s: keras.Spec) -> np.ndarray:
  """Keras 2's formulas, written down once more."""
  p, m, v, out = np.zeros(6), np.zeros(6), np.zeros(6), []
  for t, (g, lr) in enumerate(zip(gradients(), rates(s.learning_rate, s.decay), strict=True), 1):
    if s.global_clipnorm or s.clipnorm:
      limit = s.global_clipnorm or s.clipnorm
      g = g * limit / max(np.linalg.norm(g), limit)
    if s.clipvalue:
      g = np.clip(g, -s.clipvalue, s.clipvalue)
    if s.name == 'rmsprop':
      v = s.rho * v + (1 - s.rho) * g**2
      p = p - lr * g / (np.sqrt(v) + s.epsilon)
    elif s.name == 'adam':
      m = s.beta_1 * m + (1 - s.beta_1) * g
      v = s.beta_2 * v + (1 - s.beta_2) * g**2
      p = p - lr * np.sqrt(1 - s.beta_2**t) / (1 - s.beta_1**t) * m / (np.sqrt(v) + s.epsilon)
    else:
      m = s.momentum * m - lr * g
      p = p + (s.momentum * m - lr * g if s.nesterov else m)
    out.append(p)
  return np.stack(out)


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


SPECS = [
  spec(name='rmsprop', learning_rate=1e-3),
  spec(name='rmsprop', learning_rate=1e-3, decay=0.1, rho=0.8),
  spec(name='adam', learning_rate=1e-4, decay=1e-6),
  spec(name='adam', learning_rate=1e-4, decay=0.1),
  spec(name='sgd', learning_rate=1e-4, decay=1e-6),
  spec(name='sgd', momentum=0.9),
  spec(name='sgd', momentum=0.9, decay=0.1),
  spec(name='sgd', momentum=0.9, nesterov=True, decay=0.1),
  spec(name='rmsprop', clipvalue=0.1),
  spec(name='sgd', clipnorm=0.5),
  spec(name='sgd', global_clipnorm=0.5),
]


@pytest.mark.parametrize('s', SPECS, ids=str)
def test_fifty_updates_follow_the_formulas(s, x64):
  np.testing.assert_allclose(path(keras.build(s)), reference(s), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize('s', SPECS, ids=str)
def test_float32_follows_them_within_rounding(s):
  expected = reference(s)
  np.testing.assert_allclose(path(keras.build(s)), expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


def test_optax_own_rmsprop_and_adam_are_other_paths(x64):
  for s, other in (
    (spec(name='rmsprop', learning_rate=1e-3), optax.rmsprop(1e-3, 0.9, eps=1e-7, eps_in_sqrt=True)),
    (spec(name='adam', learning_rate=1e-4), optax.adam(1e-4, eps=1e-7)),
  ):
    with pytest.raises(AssertionError):
      np.testing.assert_allclose(path(other), reference(s), rtol=1e-3, atol=1e-12)


def keras_path(optimizer) -> np.ndarray:
  """[50, 6]: the parameters of Keras 3 after each update."""
  import keras as keras_3

  weight = keras_3.Variable(np.zeros(6, np.float32))
  optimizer.build([weight])
  out = []
  for g in gradients():
    optimizer.apply_gradients([(keras_3.ops.convert_to_tensor(g.astype(np.float32)), weight)])
    out.append(weight.value.numpy())
  return np.stack(out)


def test_where_keras_3_has_the_same_formulas_the_paths_are_its_own():
  from keras import optimizers

  pairs = [
    (spec(momentum=0.9), optimizers.SGD(0.01, momentum=0.9)),
    (spec(momentum=0.9, nesterov=True), optimizers.SGD(0.01, momentum=0.9, nesterov=True)),
    (spec(name='adam', learning_rate=1e-3), optimizers.Adam(1e-3, epsilon=1e-7)),
  ]
  for s, theirs in pairs:
    expected = keras_path(theirs)
    np.testing.assert_allclose(path(keras.build(s)), expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())
  # Keras 3 adds RMSprop's epsilon inside the root, Keras 2 outside.
  inside = keras_path(optimizers.RMSprop(1e-3, epsilon=1e-7))
  with pytest.raises(AssertionError):
    np.testing.assert_allclose(path(keras.build(spec(name='rmsprop', learning_rate=1e-3))), inside, rtol=1e-2)


def test_the_rate_decays_by_updates_and_not_by_epochs():
  rate = keras.schedule(spec(learning_rate=0.1, decay=0.5))
  np.testing.assert_allclose(
    [float(rate(t)) for t in (0, 1, 2, 4)], [0.1, 0.1 / 1.5, 0.05, 0.1 / 3], rtol=1e-6
  )


def test_clipnorm_is_that_of_later_keras_and_global_clipnorm_that_of_keras_2_0_to_2_3(x64):
  gradient = {'a': np.array([3.0, 4.0]), 'b': np.array([0.3, 0.4])}

  def clipped(s: keras.Spec) -> np.ndarray:
    tx, zeros = keras.build(s), {name: jnp.zeros(2) for name in gradient}
    updates, _ = tx.update({name: jnp.asarray(g) for name, g in gradient.items()}, tx.init(zeros), zeros)
    return -np.concatenate([updates['a'], updates['b']])

  # Keras 3.15, `clip_by_norm` of each gradient; Keras 2.0 to 2.3, `get_gradients`, by the norm of all of them.
  each = np.concatenate([g * min(1, 1 / np.linalg.norm(g)) for g in gradient.values()])
  together = np.concatenate(list(gradient.values()))
  together = together * min(1, 1 / np.linalg.norm(together))
  np.testing.assert_allclose(clipped(spec(learning_rate=1.0, clipnorm=1.0)), each, rtol=1e-9)
  np.testing.assert_allclose(clipped(spec(learning_rate=1.0, global_clipnorm=1.0)), together, rtol=1e-9)
  # Negative control: they are two things.
  assert np.abs(each - together).max() > 0.2


def test_no_config_of_the_project_clips_by_a_norm():
  folder = pathlib.Path(default.__file__).parent
  of_keys = re.compile(r'(global_)?clipnorm\b')
  found = [path.name for path in folder.glob('*.py') if of_keys.search(path.read_text())]
  # Where both keys are defined, as 0.
  assert found == ['default.py']
  optimizer = default.get_config().optimizer
  assert (optimizer.clipnorm, optimizer.global_clipnorm) == (0, 0)


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('name', 'lion'),
    ('learning_rate', 0.0),
    ('rho', 1.0),
    ('decay', -1.0),
    ('epsilon', 0.0),
    ('clipnorm', -1.0),
  ],
)
def test_a_value_out_of_range_is_named(key, value):
  with pytest.raises(types.UserError, match=f'optimizer.{key}'):
    spec(**{key: value})
