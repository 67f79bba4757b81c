"""Heat maps of many images are those of each alone."""

import numpy as np
import tiny_networks

from bloodcell_jax.explain import cam, inside
from bloodcell_jax.models import layers


def test_maps_of_many_images_are_those_of_each_for_its_likeliest_class():
  model, params = tiny_networks.make_hand()
  seen = inside.Probe(model, params, (4, 4, 3), layers.MAPS, 4)
  x_NHWC = np.random.default_rng(0).random((6, 4, 4, 3)).astype(np.float32)
  heat_Nhw = seen.heats(params, x_NHWC)
  assert heat_Nhw.shape == (6, 4, 4)
  for x, heat_hw in zip(x_NHWC, heat_Nhw, strict=True):
    activations, label = seen.activations(params, x, None)
    np.testing.assert_allclose(
      heat_hw, cam.grad_cam(activations.maps['conv2d_1'], activations.gradient_HWC), rtol=1e-5
    )
    # Negative control: another class has another map.
    other, _ = seen.activations(params, x, 1 - label)
    assert not np.allclose(heat_hw, cam.grad_cam(other.maps['conv2d_1'], other.gradient_HWC))
