"""What rclone's errors mean to who has to do something about them."""

import re
from typing import Final

_HTTP: Final = r"(http error|status ?code)\W*"
# What another try cannot mend, and the way out. The patterns are of rclone's errors, in any case.
_FINAL: Final = {
    "rclone knows no such remote. `rclone listremotes` names those it knows.": ["didn't find section in config file"],
    "rclone's configuration is encrypted. Set RCLONE_CONFIG_PASS.": ["decrypt config", "config(uration)? password"],
    "the server refused user or password. Correct the remote with `rclone config`.": [
        f"{_HTTP}401",
        "unauthori[sz]ed",
        "authori[sz]ation failed",
        "authentication failed",
        "invalid.{0,20}credential",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ],
    "the quota is used up. Remove something there or ask for more, then run the same command again.": [
        f"{_HTTP}(413|507)",
        "too ?large ?object",
        "insufficient storage",
        "quota exceeded",
    ],
    "the password of crypt is another than that of what lies there. Correct the remote with `rclone config` (password "
    "and password2); where files that are not encrypted lie beside it, set RCLONE_CRYPT_STRICT_NAMES=false.": [
        "bad password\\?",
        "undecryptable",
        "not an encrypted file",
    ],
    "the disk is full. Free some space and run the same command again.": ["no space left on device"],
    "no permission to write there, or it is read-only.": ["permission denied", "read-only file system"],
    "a name is too long for it.": ["name too long", "KeyTooLong"],
}
# A server that logged us in may forbid what it allowed before when the token has expired: Ceph's does. rclone logs in
# anew after a 401 only.
_FORBIDDEN: Final = f"{_HTTP}403|operation forbidden|access ?denied"
_MAY_NOT: Final = (
    "the server forbids it, also to a new login: this user may not write there, or may not make the container. Ask for "
    "the right, or correct the remote with `rclone config`."
)


def way_out(error: str) -> str | None:
    """The sentence for an error that another try cannot mend, or not without a new login."""
    if is_forbidden(error):
        return _MAY_NOT
    for sentence, patterns in _FINAL.items():
        if any(re.search(pattern, error, re.IGNORECASE) for pattern in patterns):
            return sentence
    return None


def is_forbidden(error: str) -> bool:
    return re.search(_FORBIDDEN, error, re.IGNORECASE) is not None


def with_way_out(error: str) -> str:
    sentence = way_out(error)
    return f"{sentence} ({error})" if sentence and sentence not in error else error
