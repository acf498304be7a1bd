"""Where label files lie: read in place from a folder or a zip, and nothing that was made to do harm."""

import os
import stat
import zipfile

import pytest

from radloop.errors import SourceError
from radloop.sources.bundle import HEAD_BYTES, Bundle


@pytest.fixture
def packed(tmp_path):
    """A zip of the files given by name or ZipInfo."""

    def make(files, method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "labels.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return make


def spoilt(path, old, new, times=1):
    """The zip with some of its bytes changed."""
    data = path.read_bytes()
    assert data.count(old) >= times
    path.write_bytes(data.replace(old, new))
    return path


def test_a_folder_has_names_relative_to_it_without_hidden_ones(tmp_path):
    for name in ("b/c.txt", "a.txt", ".hidden/x.txt", "b/.x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    bundle = Bundle(tmp_path)
    assert bundle.names == ("a.txt", "b/c.txt")
    assert bundle.read("b/c.txt") == b"b/c.txt"
    assert bundle.shown("b/c.txt") == f"{tmp_path.name}/b/c.txt"


def test_a_single_file_has_a_folder_around_it(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    bundle = Bundle(tmp_path / "a.txt")
    assert bundle.names == ("a.txt",)
    assert bundle.read("a.txt") == b"a"
    assert bundle.around.names == ("a.txt", "b.txt")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_as_the_folder_that_it_was(packed, method):
    files = {"set/b.txt": "bb", "./set/a.txt": "a" * 100_000, "set/.DS_Store": "x", "__MACOSX/set/._a.txt": "x"}
    bundle = Bundle(packed(files, method))
    assert bundle.is_zip
    assert bundle.names == ("set/a.txt", "set/b.txt")
    assert bundle.read("set/b.txt") == b"bb"
    assert len(bundle.read("set/a.txt")) == 100_000
    assert len(bundle.head("set/a.txt")) == HEAD_BYTES
    assert bundle.around is bundle


def test_a_zip_is_read_without_a_file_more_on_the_disk(packed, tmp_path):
    Bundle(packed({"a.txt": "a"})).read("a.txt")
    assert os.listdir(tmp_path) == ["labels.zip"]


@pytest.mark.parametrize("name", ["../a.txt", "/etc/a.txt", "a/../../b.txt", "a/..", "..\\a.txt", "a\nb.txt"])
def test_a_name_that_leads_out_of_the_zip_is_refused(packed, name):
    with pytest.raises(SourceError, match=r"labels\.zip holds '.*' with an unsafe name\. Pack it anew"):
        Bundle(packed({name: "a"}))


def test_a_member_without_a_name_is_refused(packed):
    path = packed({"aXb": "a"}, zipfile.ZIP_STORED)
    with pytest.raises(SourceError, match="holds '' with an unsafe name"):
        Bundle(spoilt(path, b"aXb", b"\0Xb", times=2))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("a.txt", "one")
        archive.writestr("./a.txt", "another")
    with pytest.raises(SourceError, match=r"holds 'a\.txt' twice"):
        Bundle(tmp_path / "labels.zip")


def test_a_file_that_unpacks_to_too_much_is_refused(packed):
    bundle = Bundle(packed({"a.xml": b"0" * (2**26 + 1), "b.bin": os.urandom(2**20)}))
    with pytest.raises(SourceError, match=r"a\.xml unpacks to 67,108,865 bytes from .*: no labels do"):
        bundle.read("a.xml")
    assert bundle.head("a.xml") == b"0" * HEAD_BYTES


def test_a_zip_of_many_such_files_is_refused_as_a_whole(packed):
    with pytest.raises(SourceError, match=r"labels\.zip unpacks to 73,400,320 bytes from"):
        Bundle(packed({f"{at}.txt": b"0" * 2**20 for at in range(70)}))


def test_a_file_that_is_longer_than_it_says_is_damaged(packed):
    path = packed({"a.txt": b"0" * 1000})
    spoilt(path, (1000).to_bytes(4, "little"), (10).to_bytes(4, "little"), times=2)
    with pytest.raises(SourceError, match=r"labels\.zip/a\.txt cannot be unpacked: .*CRC.*Get it again"):
        Bundle(path).read("a.txt")


def test_an_encrypted_file_is_refused_with_the_way_out(packed):
    path = packed({"a.txt": "a"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.txt is encrypted\. Unpack the zip, and pass the folder"):
        Bundle(path).read("a.txt")


def test_a_link_is_refused(packed):
    link = zipfile.ZipInfo("a.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(SourceError, match=r"a\.txt is a link"):
        Bundle(packed({link: "/etc/passwd"})).read("a.txt")


def test_a_method_that_may_take_all_memory_is_refused(packed):
    with pytest.raises(SourceError, match=r"a\.txt is packed by a method that is not read here"):
        Bundle(packed({"a.txt": "a"}, zipfile.ZIP_LZMA)).read("a.txt")


def test_a_damaged_zip_is_refused(packed):
    content = os.urandom(1000)
    path = packed({"a.txt": content}, zipfile.ZIP_STORED)
    bundle = Bundle(spoilt(path, content[:8], bytes(8)))
    with pytest.raises(SourceError, match=r"a\.txt cannot be unpacked: Bad CRC-32"):
        bundle.read("a.txt")
    spoilt(path, b"PK\1\2", b"PK\0\0")
    with pytest.raises(SourceError, match=r"labels\.zip is no sound zip"):
        Bundle(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(SourceError, match=r"a\.txt is no file"):
        Bundle(tmp_path).read("a.txt")


def test_a_name_is_shown_on_one_line(tmp_path):
    (tmp_path / "a\nb.txt").touch()
    assert Bundle(tmp_path).shown("a\nb.txt") == f"{tmp_path.name}/a\ufffdb.txt"


@pytest.mark.parametrize("name", ["gone.txt", "../a.txt"])
def test_a_file_that_is_not_there_says_so(tmp_path, packed, name):
    for bundle in (Bundle(tmp_path), Bundle(packed({"a.txt": "a"}))):
        with pytest.raises(SourceError, match="cannot be read"):
            bundle.read(name)


def test_a_path_that_is_not_there_says_what_to_pass(tmp_path):
    with pytest.raises(SourceError, match=r"does not exist\. Pass the folder, the file or the zip"):
        Bundle(tmp_path / "gone")


def test_a_name_that_is_not_utf_8_is_refused_where_it_is_of_labels(tmp_path):
    for name in (b"\xff.png", b"a.txt"):
        open(os.fsencode(tmp_path) + b"/" + name, "w").close()
    assert Bundle(tmp_path).names == ("a.txt",)
    open(os.fsencode(tmp_path) + b"/\xff.txt", "w").close()
    with pytest.raises(SourceError, match=r"\ufffd\.txt: the name of this file is not UTF-8\. Rename it"):
        Bundle(tmp_path).ending(".txt")
