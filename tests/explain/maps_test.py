"""Grad-CAM by hand; a network that looks at one place gets its attribution there; the checks of the maps themselves."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tiny_networks
from tiny_networks import PATCH

from bloodcell_jax.explain import cam, inside, integrated, occlusion, randomness, regions
from bloodcell_jax.models import layers

SIZE = 20


def picture(seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).random((SIZE, SIZE, 3)).astype(np.float32)


def inside_patch() -> np.ndarray:
  region_HW = np.zeros((SIZE, SIZE), bool)
  region_HW[PATCH] = True
  return region_HW


def test_grad_cam_is_the_sum_over_channels_weighted_by_mean_gradients():
  map_HWC = np.array([[[1.0, 0.0], [2.0, 1.0]], [[0.0, 3.0], [1.0, 1.0]]])
  gradient_HWC = np.array([[[1.0, -2.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, -2.0]]])
  # Mean gradients: 1 and -1.
  np.testing.assert_allclose(cam.grad_cam(map_HWC, gradient_HWC), [[1.0, 1.0], [-3.0, 0.0]])
  assert not np.allclose(cam.grad_cam(map_HWC, gradient_HWC[::-1] + 1), [[1.0, 1.0], [-3.0, 0.0]])


def test_grad_cam_plus_plus_is_the_papers_by_hand():
  map_HWC = np.array([[[1.0, 0.0], [2.0, 1.0]]])
  gradient_HWC = np.array([[[1.0, -2.0], [0.5, 0.0]]])
  # Channel 0, sum of the map 3: alpha = 1 / (2 + 3), 0.25 / (0.5 + 0.375); channel 1 has no gradient above 0.
  weight = 1 / 5 * 1 + 0.25 / 0.875 * 0.5
  expected = [[weight * 1, weight * 2]]
  np.testing.assert_allclose(cam.grad_cam_plus_plus(map_HWC, gradient_HWC), expected)
  assert not np.allclose(cam.grad_cam(map_HWC, gradient_HWC), expected), 'the two differ'


def test_grad_cam_plus_plus_finds_two_places_where_grad_cam_prefers_the_larger_map():
  # Chattopadhay et al. 2018, figure 2: two channels, each with one object, of areas 9 and 1.
  map_HWC = np.zeros((6, 6, 2))
  map_HWC[:3, :3, 0] = map_HWC[5, 5, 1] = 1
  gradient_HWC = map_HWC.copy()
  ratio = {}
  for method in (cam.grad_cam, cam.grad_cam_plus_plus):
    map_HW = method(map_HWC, gradient_HWC)
    ratio[method] = map_HW[5, 5] / map_HW[0, 0]
  assert ratio[cam.grad_cam] == pytest.approx(1 / 9)
  assert ratio[cam.grad_cam_plus_plus] > 2 * ratio[cam.grad_cam]


@pytest.fixture
def seen():
  model, params = tiny_networks.make_patch()
  return inside.Probe(model, params, (SIZE, SIZE, 3), layers.MAPS, 8), params


def attributions(seen, x: np.ndarray) -> dict[str, np.ndarray]:
  """What is counted of each map for class 1."""
  network, params = seen
  activations, label = network.activations(params, x, 1)
  fill = np.full_like(x, 0.2)
  cam_HW = np.maximum(activations.maps['conv2d_1'] * activations.gradient_HWC, 0).sum(-1)
  found = integrated.integrate(lambda n: network.gradients(params, n, label), x, fill, 8, 0.01, 64)
  _, drop_HW = occlusion.drops(lambda n: network.logits(params, n)[:, 1], x + 1, fill, 4, 17)
  return {
    'map times gradient': cam_HW,
    'integrated gradients': np.abs(found.part_HWC.sum(-1)),
    'occlusion': np.maximum(drop_HW, 0),
  }


def test_a_network_that_looks_at_one_patch_gets_its_attribution_there(seen):
  found = attributions(seen, picture())
  for method in ('map times gradient', 'integrated gradients'):
    assert regions.share(found[method], inside_patch()) == pytest.approx(1), method
  # A window reaches over the patch's edge, so that some lies beside it; nothing where no window touches it.
  drop_HW = found['occlusion']
  assert drop_HW[PATCH].min() > 2 * drop_HW[~inside_patch()].mean()
  assert np.unravel_index(drop_HW.argmax(), drop_HW.shape)[0] in range(6, 10)
  # Negative control: not elsewhere.
  elsewhere = np.roll(inside_patch(), 10, 0)
  for method, weight_HW in found.items():
    assert regions.share(weight_HW, elsewhere) == pytest.approx(0, abs=1e-6), method


def test_integrated_gradients_add_up_to_the_difference_of_the_score():
  weights = np.random.default_rng(1).standard_normal((4, 5, 5, 3)).astype(np.float32)

  def gradient(x_NHWC):
    # Four relus with kinks between baseline and image, one of them squared.
    z_N4 = np.einsum('khwc,nhwc->nk', weights, x_NHWC) - np.array([0.5, -0.3, 1.0, 0.0])
    on_N4 = np.maximum(z_N4, 0)
    score_N = on_N4[:, :3].sum(1) + on_N4[:, 3] ** 2
    factor_N4 = np.concatenate([z_N4[:, :3] > 0, 2 * on_N4[:, 3:]], 1)
    return score_N, np.einsum('nk,khwc->nhwc', factor_N4, weights).astype(np.float32)

  x, baseline = picture()[:5, :5] * 3, np.zeros((5, 5, 3), np.float32)
  found = integrated.integrate(gradient, x, baseline, 4, 0.01, 200)
  scores = gradient(np.stack([baseline, x]))[0]
  assert found.difference == pytest.approx(scores[1] - scores[0])
  assert abs(found.part_HWC.sum() - found.difference) <= 0.01 * abs(found.difference)
  assert found.gap <= 0.01
  # Negative control: the gradient at the image alone, which is no integral, does not add up.
  alone = gradient(x[None])[1][0] * (x - baseline)
  assert abs(alone.sum() - found.difference) > 0.05 * abs(found.difference)
  # The points run out: the gap is told as it is.
  rough = integrated.integrate(gradient, x, baseline, 4, 0.0, 4)
  assert rough.num_points == 4
  assert rough.gap == pytest.approx(abs(rough.part_HWC.sum() - rough.difference) / abs(rough.difference))


def test_occlusion_tells_the_drop_of_each_window():
  x = np.ones((6, 6, 1), np.float32)
  drop, map_HW = occlusion.drops(lambda n: n[:, 0, 0, 0], x, np.zeros_like(x), 3, 2)
  assert drop.tolist() == [[1, 0], [0, 0]]
  assert map_HW[:3, :3].min() == 1
  assert map_HW[3:].max() == map_HW[:, 3:].max() == 0


def test_shuffled_weights_change_a_map_and_the_same_weights_do_not():
  model, params = tiny_networks.make_hand()
  generator = np.random.default_rng(2)
  params = {
    'conv2d_1': {**params['conv2d_1'], 'kernel': generator.uniform(0.5, 1.5, (1, 1, 3, 2))},
    'dense_1': {**params['dense_1'], 'kernel': generator.standard_normal((200, 2))},
  }
  network = inside.Probe(model, params, (SIZE, SIZE, 3), layers.MAPS, 8)
  x = picture()

  def map_of(params):
    gradient = functools.partial(network.gradients, params, label=1)
    return integrated.integrate(gradient, x, np.zeros_like(x), 8, 0.01, 32).part_HWC.sum(-1)

  other = randomness.shuffled(params, 0)
  for name in ('conv2d_1', 'dense_1'):
    before, after = (np.sort(np.ravel(p[name]['kernel'])) for p in (params, other))
    np.testing.assert_array_equal(before, after)
  assert abs(randomness.rank_correlation(map_of(params), map_of(other))) < 0.2
  assert randomness.rank_correlation(map_of(params), map_of(params)) == 1
  assert randomness.rank_correlation(map_of(params), np.zeros((SIZE, SIZE))) is None


def test_regions_are_the_black_pixels_and_the_frame():
  image_HWC = np.full((40, 40, 3), 200, np.uint8)
  image_HWC[:10, :10] = 5
  image_HWC[20, 20] = (5, 5, 90)  # dark but coloured, as a nucleus may be
  assert regions.black(image_HWC).sum() == 100
  assert regions.border(40, 40).sum() == 40**2 - 36**2
  weight_HW = np.zeros((40, 40))
  weight_HW[0, 0], weight_HW[20, 20] = 1, 3
  assert regions.share(weight_HW, regions.black(image_HWC)) == 0.25
  assert regions.share(np.zeros((2, 2)), np.ones((2, 2), bool)) is None
  with pytest.raises(ValueError, match='0 or more'):
    regions.share(-weight_HW, regions.border(40, 40))
