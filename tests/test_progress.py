"""Work that comes in pieces is told as one."""

from radloop.progress import Parts


def test_pieces_go_on_where_those_before_them_ended() -> None:
    told: list[tuple[str, int, int, str]] = []
    parts = Parts(lambda what, done, total, unit="files": told.append((what, done, total, unit)))
    first = parts.part()
    first("upload", 5, 10, "bytes")
    first("upload", 10, 10, "bytes")
    parts.part()("upload", 12, 20, "bytes")
    parts.part()("copies", 1, 2)
    assert told == [
        ("upload", 5, 10, "bytes"),
        ("upload", 10, 10, "bytes"),
        ("upload", 22, 30, "bytes"),
        ("copies", 1, 2, "files"),
    ]
