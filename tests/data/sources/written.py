"""Files in folders, for tests that look at names alone."""


def write(folder, *files):
  """Writes each file with its name as content; returns the folder's path as text."""
  for name in files:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
  return str(folder)
