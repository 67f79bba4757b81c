"""What systems, network drives, editors and this program leave among images: passed over and counted."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import re
import unicodedata
from collections.abc import Collection

from bloodcell_jax.base import wording
from bloodcell_jax.data.images import foreign

# Names of files and folders, compared without case; `*` stands for any characters. Names that begin with a dot are
# hidden on most systems and passed over too.
NAMES = (
  # Windows
  'thumbs.db*', 'ehthumbs*.db', 'desktop.ini', '$recycle.bin', 'recycler', 'recycled', 'system volume information',
  '~$*', '*:zone.identifier', '*:smartscreen', '*.lnk', '*.url', 'found.[0-9][0-9][0-9]',
  'file[0-9][0-9][0-9][0-9].chk', 'thumbcache_*.db', 'iconcache*.db', 'pagefile.sys', 'hiberfil.sys', 'autorun.inf',
  'ntuser.dat*', 'msocache', 'wpsettings.dat', 'indexervolumeguid', 'onedrivetemp', 'albumart*.jpg',
  '$winreagent', '$extend', '$getcurrent', '$sysreset', '$windows.~*', 'config.msi', 'dfsrprivate', 'swapfile.sys',
  # macOS
  '__macosx', 'icon\r', 'icon\uf00d', 'network trash folder', 'temporary items', '*.webloc', '*.aae',
  'thevolumesettingsfolder', '*:com.apple.*', '*:afp_*',
  # Linux desktops
  'lost+found', '*~', 'trash-[0-9]*', '#*#',
  # network drives, and folders of deleted files in their languages
  '@eadir', '@syno*', '@share*', '@database*', '@transcode', '@s2s', '@upload*', '@download*', '@gmt-*', 'nasxchng',
  'twonkymedia', 'recycle', 'network recycle bin*', 'deleted items', 'deleted files', '#recycle', '#snapshot',
  '@recycle', '@recently-snapshot', '@tmp', '*@synoeastream', '*@synoresource', '~snapshot', 'recycle bin',
  'recyclebin', 'papierkorb', 'corbeille', 'cestino', 'papelera*', 'lixeira', 'prullenbak', 'papperskorgen', 'lost.dir',
  'recycle bin - *', '_recycle', 'trashbox', '#trash', '@trash', '@__thumb', 'nas_prog',
  '回收站', '资源回收筒', 'ごみ箱', 'корзина', 'koszyk', 'koš', 'kosz', 'çöp kutusu', '휴지통', 'سلة المحذوفات',
  # cloud drives and programs that copy between places
  '*.gdoc', '*.gsheet', '*.gslides', '*.ffs_db', '*.ffs_lock', '*.filepart', '*.aria2', '*.!ut',
  # editors, browsers and Python
  '*.tmp', '*.temp', '*.part', '*.crdownload', '*.download', '*.opdownload', '*.swp', '*.bak', '*.orig', 'cvs',
  'wandb', 'mlruns', 'lightning_logs', 'tensorboard', 'tb_logs', 'catboost_info',
  'node_modules', '_cacache', '__pycache__', 'site-packages', 'venv', 'cache', '_cache', '__cache__',
  # picture managers
  'thumbnails', 'thumbnail', 'thumbs', '_thumbs', '__thumbs', 'picasa.ini', 'originals.picasa', 'picasaoriginals',
  'zbthumbnail.info', 'pspbrwse.jbf', 'digikam4.db', 'thumbnails*.db', '*.lrdata', '*.lrcat', '*.xmp', '*.thm', '*.pp3',
  '*.dop', '*.cos', 'captureone', 'adobe bridge cache*',
)  # fmt: skip
# All of them as one pattern: each image's name is compared several times, which took most of the reading of a folder.
_ANY = re.compile('|'.join(map(fnmatch.translate, NAMES)))
HIDDEN = 'hidden'
# What belongs to images, see `companions`.
MASK, ANNOTATION = 'masks', 'files of annotations'
RUN = 'folders of runs and results'
# Folders of a run that hold images; passed over where the data lies in the folder of a run.
RUN_FOLDERS = (
  'checkpoints', 'figures', 'predictions', 'groups', 'review', 'predict', 'members', 'folds', 'explain', 'export',
)  # fmt: skip
# What QuPath keeps beside its project file; the first holds a reduced copy of every slide.
OF_QUPATH, _QUPATH = ('data', 'classifiers', 'scripts'), '.qpproj'
# Most names that a line lists; it counts the others.
MOST_NAMED = 4


@dataclasses.dataclass
class Tally:
  """What was passed over: a pattern or kind and how often it was met; folders count once, with all they hold."""

  times: collections.Counter[str]

  def line(self) -> str:
    """The counts in words; '' if nothing was passed over.

    Example:
      >>> Tally(collections.Counter({'@eaDir': 80, 'Thumbs.db': 2})).line()
      'passed over, as left by other programs: 80 @eaDir, 2 Thumbs.db'
    """
    others = self.times.most_common()
    num_runs = sum(num for name, num in others if name == RUN)
    named = [(name, num) for name, num in others if name not in (RUN, MASK, ANNOTATION)]
    parts = [f'{num:,} {name}' for name, num in named[:MOST_NAMED]]
    if more := sum(num for _, num in named[MOST_NAMED:]):
      parts.append(f'{more:,} others')
    texts = []
    if parts:
      texts.append(f'passed over, as left by other programs: {", ".join(parts)}')
    if belonging := [f'{num:,} {name}' for name, num in others if name in (MASK, ANNOTATION)]:
      texts.append(f'passed over, as belonging to images beside them: {", ".join(belonging)}')
    if num_runs:
      texts.append(f'passed over, as a run or result of this program: {wording.counted(num_runs, "folder")}')
    return '; '.join(texts)


def tally() -> Tally:
  """An empty count."""
  return Tally(collections.Counter())


def kind(name: str) -> str:
  """What the name is counted as: itself, its pattern, or `hidden`; '' for a name that may be an image or a class, or
  stands for an image that is missing (`foreign.is_placeholder`).

  Example:
    >>> [kind(name) for name in ('@eaDir', 'Thumbs.db', '._a.png', 'draft~', 'NEUTROPHIL', 'a.png')]
    ['@eaDir', 'Thumbs.db', '._*', '*~', '', '']
  """
  if foreign.is_placeholder(name):
    return ''
  if name.startswith('._'):
    return '._*'
  if name.startswith('.'):
    return name if name in ('.DS_Store', '.thumbnails', '.ipynb_checkpoints', '.git') else 'hidden'
  # Decomposed letters and capitals count as equal.
  folded = unicodedata.normalize('NFC', name).casefold()
  for pattern in NAMES if _ANY.match(folded) else ():
    if fnmatch.fnmatchcase(folded, pattern):
      has_wildcard = '*' in pattern or '[' in pattern
      return pattern if has_wildcard and folded != pattern.rstrip('*') else name.strip()
  return ''


def is_project(names: Collection[str]) -> bool:
  """Whether a folder with these entries is a project of QuPath, in which OF_QUPATH are its own.

  Example:
    >>> is_project(['data', 'project.qpproj', 'A']), is_project(['data', 'A'])
    (True, False)
  """
  return any(name.casefold().endswith(_QUPATH) for name in names)


def is_result(names: Collection[str]) -> bool:
  """Whether a folder with these entries is a run, or a result, of this program.

  Example:
    >>> is_result(['config.json', 'checkpoints', 'report.html']), is_result(['config.json', 'a.png'])
    (True, False)
  """
  entries = {name for name in names if not name.startswith('.')}
  if 'config.json' in entries and entries <= {'config.json', 'log.txt'}:
    return True  # a run that has just begun
  return (
    ('config.json' in entries and bool(entries & {'checkpoints', 'environment.json', 'members', 'folds'}))
    or {'environment.json', 'checkpoints'} <= entries
    or ('predict.json' in entries and bool(entries & {'predictions.csv', 'journal.jsonl'}))
    or {'audit.json', 'groups.csv'} <= entries
    or {'model.json', 'model_card.md'} <= entries
  )
