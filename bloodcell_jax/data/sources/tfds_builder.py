"""The Kaggle data set as a TFDS data set, each image with its photograph and field.

  tfds build bloodcell_jax/data/sources/tfds_builder.py --manual_dir=FOLDER

FOLDER is the unpacked Kaggle archive. The JPEGs are kept as they are, byte for byte. The `tfds` command of TFDS
4.9.10 starts only with apache-beam and mlcroissant installed beside it; without them:

  config = tfds.download.DownloadConfig(manual_dir=FOLDER)
  tfds_builder.BloodCells(data_dir=DATA_DIR).download_and_prepare(download_config=config)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import kaggle

_DESCRIPTION = """
White cells of four classes on blood smears: 12,515 augmented copies of 348 photographs, and the 71
photographs of the official test split themselves. `source` is the photograph an image was cut from and
`group` the physical field it shows; splits made by anything else than `group` leak. For research only.
"""
_CITATION = """
@misc{mooney2018bloodcells,
  title = {Blood Cell Images},
  author = {Mooney, Paul},
  year = {2018},
  howpublished = {Kaggle data set paultimothymooney/blood-cells}
}
"""


class BloodCells(tfds.core.GeneratorBasedBuilder):
  """Builder of `blood_cells`: the splits train, test, test_simple and originals."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar[dict[str, str]] = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f'Download the Kaggle data set {kaggle.HANDLE}, unpack it and pass its folder as --manual_dir.'
  )

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=_DESCRIPTION,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg'),
          'label': tfds.features.ClassLabel(names=kaggle.CLASS_NAMES),
          'source': tfds.features.Text(),
          'group': tfds.features.Text(),
          'filename': tfds.features.Text(),
        }
      ),
      supervised_keys=('image', 'label'),
      homepage=f'https://www.kaggle.com/datasets/{kaggle.HANDLE}',
      citation=_CITATION,
    )

  def _known(self) -> Mapping[str, kaggle.Origin]:
    """The known origins; tests override it."""
    return kaggle.origins()

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    table, problems = kaggle.read(str(dl_manager.manual_dir), self._known())
    # A built data set is used for years, so it must be complete.
    if problems:
      raise types.UserError(f'{dl_manager.manual_dir}: {len(problems)} problems, the first: {problems[0]}')
    splits = dict.fromkeys(table.split.tolist())
    return {split.lower(): self._generate_examples(table, split) for split in splits}

  def _generate_examples(self, table: types.Table, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for i in range(len(table)):
      if table.split[i] == split:
        yield (
          str(table.file[i]),
          {
            'image': table.content[i],
            'label': int(table.label[i]),
            'source': str(table.source[i]),
            'group': str(table.group[i]),
            'filename': str(table.file[i]),
          },
        )
