"""Files of microscopes', scanners' and cameras' programs that are not read: what they are, and what to export."""

from __future__ import annotations

import re

# By extension: the maker of the file, and the program that exports it.
_MAKERS = {
  '.czi': ('Zeiss ZEN', 'ZEN'),
  '.lsm': ('Zeiss LSM', 'ZEN'),
  '.zvi': ('Zeiss AxioVision', 'AxioVision'),
  '.nd2': ('Nikon NIS-Elements', 'NIS-Elements'),
  '.lif': ('Leica LAS', 'LAS or ImageJ'),
  '.scn': ('Leica slide scanner', 'ImageScope or QuPath'),
  '.svs': ('Aperio slide scanner', 'ImageScope or QuPath'),
  '.ndpi': ('Hamamatsu slide scanner', 'NDP.view or QuPath'),
  '.ndpis': ('Hamamatsu slide scanner', 'NDP.view or QuPath'),
  '.vsi': ('Olympus slide scanner', 'OlyVIA or QuPath'),
  '.ets': ('Olympus slide scanner', 'OlyVIA or QuPath'),
  '.oib': ('Olympus FluoView', 'ImageJ'),
  '.oif': ('Olympus FluoView', 'ImageJ'),
  '.oir': ('Olympus FluoView', 'ImageJ'),
  '.mrxs': ('3DHISTECH slide scanner', 'CaseViewer or QuPath'),
  '.bif': ('Ventana slide scanner', 'QuPath'),
  '.isyntax': ('Philips slide scanner', 'the viewer of the scanner'),
  '.dcm': ('DICOM', 'a DICOM viewer'),
  '.ims': ('Imaris', 'Imaris or ImageJ'),
  '.stk': ('MetaMorph', 'MetaMorph or ImageJ'),
  '.heic': ('Apple camera', 'the camera app or a picture viewer'),
  '.heif': ('Apple camera', 'the camera app or a picture viewer'),
  '.avif': ('AVIF', 'a picture viewer'),
  '.jxl': ('JPEG XL', 'a picture viewer'),
  **dict.fromkeys(('.jp2', '.jpx', '.j2k', '.j2c'), ('JPEG 2000', 'a picture viewer or ImageJ')),
  '.jxr': ('JPEG XR', 'a picture viewer'),
  '.psd': ('Photoshop', 'Photoshop'),
  '.xcf': ('GIMP', 'GIMP'),
  **dict.fromkeys(
    ('.mov', '.mp4', '.avi', '.wmv'),
    ('a video camera', 'a video player that saves single frames'),
  ),
  '.pdf': ('PDF', 'a picture viewer'),
  **dict.fromkeys(
    ('.dng', '.cr2', '.cr3', '.nef', '.arw', '.orf', '.raf', '.rw2', '.pef'),
    ('a camera (raw data of its sensor)', 'the program of the camera'),
  ),
}

# First bytes of such files, under whatever name, and the extension that they belong to.
_SIGNATURES = (
  (0, b'ZISRAWFILE', '.czi'),
  (0, b'\xda\xce\xbe\x0a', '.nd2'),
  (0, b'\x00\x00\x00\x0cjP  ', '.jp2'),
  (4, b'ftypheic', '.heic'),
  (4, b'ftypmif1', '.heif'),
  (4, b'ftypavif', '.avif'),
  (4, b'ftypqt', '.mov'),
  (4, b'ftypisom', '.mp4'),
  (4, b'ftypmp4', '.mp4'),
  (8, b'AVI ', '.avi'),
  (0, b'\xff\x4f\xff\x51', '.j2k'),
  (0, b'\xff\x0a', '.jxl'),
  (0, b'\0\0\0\x0cJXL ', '.jxl'),
  (0, b'%PDF-', '.pdf'),
  (8, b'CR\x02', '.cr2'),
  (0, b'8BPS', '.psd'),
  (128, b'DICM', '.dcm'),
)
# What stands in place of an image that did not arrive.
_NOT_THE_IMAGE = {
  b'version https://git-lfs': 'a Git LFS pointer in place of the image; fetch it with `git lfs pull`',
  b'<!doctype html': 'a web page in place of the image; download it again',
  b'<html': 'a web page in place of the image; download it again',
}


# What cloud drives leave in place of an image that is not on this computer: `.1.png.icloud`, `1.png.nextcloud`.
_PLACEHOLDER = re.compile(
  r'.+\.(?:jpe?g|jpe|jfif|png|bmp|tiff?|webp|gif|p[pgn]m)\.(?:icloud|owncloud|nextcloud|cloudf?|odlocal)',
  re.IGNORECASE,
)


def is_placeholder(name: str) -> bool:
  """Whether the file stands in place of an image that a cloud drive keeps elsewhere.

  Example:
    >>> is_placeholder('.1.png.icloud'), is_placeholder('1.PNG.nextcloud'), is_placeholder('.list.csv.icloud')
    (True, True, False)
  """
  return bool(_PLACEHOLDER.fullmatch(name))


def reason(extension: str) -> str:
  """What a file with such an extension is and what to export from it; '' for other files.

  Example:
    >>> reason('.CZI')
    'a file of Zeiss ZEN, which cannot be read here; export RGB TIFF or PNG with ZEN, one file per image'
  """
  if extension.lower() not in _MAKERS:
    return ''
  maker, program = _MAKERS[extension.lower()]
  return (
    f'a file of {maker}, which cannot be read here; export RGB TIFF or PNG with {program}, one file per image'
  )


def signature_reason(data: bytes) -> str:
  """As `reason`, from the first bytes of a file.

  Example:
    >>> signature_reason(b'ZISRAWFILE') == reason('.czi'), signature_reason(b'GIF89a')
    (True, '')
    >>> signature_reason(b' <!DOCTYPE html><html>404')
    'a web page in place of the image; download it again'
  """
  for words, kind in _NOT_THE_IMAGE.items():
    if data[:200].lstrip().lower().startswith(words):
      return kind
  for start, mark, extension in _SIGNATURES:
    if data[start : start + len(mark)] == mark:
      return reason(extension)
  return ''
