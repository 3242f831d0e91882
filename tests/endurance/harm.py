"""Damage that a repair makes good without the source: all that is lost stands somewhere else in the repository too."""


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def flip(path, place):
    """Changes one bit of a byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def config(repository, random):
    flip(repository / "config", random.randrange(100))


def record(repository, random):
    path = random.choice(files(repository / "snapshots"))
    flip(path, random.randrange(path.stat().st_size))


def index(repository, random):
    random.choice(files(repository / "index")).unlink()


def pack_header(repository, random):
    """The last four bytes are the header's length, the code of the header stands before them."""
    flip(random.choice(files(repository / "data")), -random.randrange(1, 17))


# What happens together. Where a pack lies that has lost its header, the index alone says.
HARMS = [[config], [record], [index], [pack_header], [config, record, index], [config, record, pack_header]]
