"""Shares corrected by error rates: unbiased, and intervals that cover the truth where sampling alone does not."""

import numpy as np

from bloodcell_jax.stats import corrected_shares, differential

TRUE = np.array([0.6, 0.3, 0.1])
# Rows: the class; columns: the outcome, abstention last.
RATES = np.array([[0.80, 0.10, 0.02, 0.08], [0.05, 0.85, 0.05, 0.05], [0.10, 0.20, 0.50, 0.20]])


def drawn(rng, num_cells=200, num_groups=60, rates=RATES):
  """A count, and an evaluation of groups of one class each whose rates differ between groups."""
  outcomes = np.zeros((num_groups, 3, 4))
  for g in range(num_groups):
    outcomes[g, g % 3] = rng.multinomial(12, rng.dirichlet(15 * rates[g % 3]))
  return rng.multinomial(num_cells, TRUE @ rates), outcomes


def test_the_corrected_shares_are_right_where_those_of_the_named_are_not():
  rng = np.random.default_rng(0)
  count_J, outcomes = drawn(rng, 100_000, 3_000)
  value_K = corrected_shares.estimate(count_J, outcomes, 0.95, 0).value_K
  np.testing.assert_allclose(value_K, TRUE, atol=0.02)
  # Negative control: the shares of the named cells.
  assert np.abs(count_J[:3] / count_J[:3].sum() - TRUE).max() > 0.03


def test_the_interval_covers_the_truth_and_that_of_sampling_alone_does_not():
  rng = np.random.default_rng(1)
  covered, naive = [], []
  for seed in range(40):
    count_J, outcomes = drawn(rng)
    shares = corrected_shares.estimate(count_J, outcomes, 0.95, seed)
    covered.append((shares.low_K <= TRUE) & (shares.high_K >= TRUE))
    bounds = differential.intervals(count_J[:3], 0.95)
    naive.append((bounds[:, 0] <= TRUE) & (bounds[:, 1] >= TRUE))
  assert np.mean(covered) >= 0.9
  assert np.mean(naive) < np.mean(covered)


def test_intervals_cover_the_truth_where_a_class_was_never_evaluated():
  rng = np.random.default_rng(2)
  for missing in range(3):
    for seed in range(4):
      count_J, outcomes = drawn(rng)
      known = corrected_shares.estimate(count_J, outcomes, 0.95, seed)
      outcomes[:, missing] = 0
      unknown = corrected_shares.estimate(count_J, outcomes, 0.95, seed)
      assert ((unknown.low_K <= TRUE) & (unknown.high_K >= TRUE)).all()
      # Negative control: with groups of the class it is narrower.
      assert (unknown.high_K - unknown.low_K)[missing] > 1.5 * (known.high_K - known.low_K)[missing]


def test_a_class_without_groups_is_not_reported_as_absent_because_the_others_explain_the_cells():
  """Equal rates of all outcomes, as a fixed prior has them, fit no cells and gave the class 0 to 4 %."""
  outcomes = np.tile(np.array([[18, 1, 0, 1], [1, 18, 0, 1], [0, 0, 0, 0]]), (20, 1, 1))
  shares = corrected_shares.estimate(np.array([110, 80, 0, 10]), outcomes, 0.95, 0)
  assert shares.value_K[2] < 0.05
  assert shares.low_K[2] < 0.01
  assert shares.high_K[2] > 0.3
  # Negative control: evaluated and always named, it would have been named here.
  outcomes[:, 2] = [0, 0, 20, 0]
  assert corrected_shares.estimate(np.array([110, 80, 0, 10]), outcomes, 0.95, 0).high_K[2] < 0.05


def test_no_cells_have_no_shares():
  _, outcomes = drawn(np.random.default_rng(2))
  assert np.isnan(corrected_shares.estimate(np.zeros(4, int), outcomes, 0.95, 0).value_K).all()


def test_the_same_seed_gives_the_same_interval():
  count_J, outcomes = drawn(np.random.default_rng(3))
  first, second, other = (
    corrected_shares.estimate(count_J, outcomes, 0.95, seed).low_K for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(first, second)
  assert (first != other).any()
