"""What rclone gets of the user's environment: what reaches the remote, and nothing that changes what is sent.

rclone takes every flag from the environment, also `RCLONE_DRY_RUN`, `RCLONE_EXCLUDE` and `RCLONE_MAX_SIZE`, and would
then publish a part, or nothing, and call it success; others open it to the network or log secrets. So only these pass:
the configuration, the options of remotes, and how to connect. The configuration file itself cannot set flags of our
rclone: its `global.` and `override.` entries do not reach its remote control.
"""

from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "RCLONE_"

# How to find and open the configuration, and how to reach a server; the names behind the prefix.
_PASSING: Final = frozenset(
    {
        "BIND",
        "BUFFER_SIZE",
        "BWLIMIT",
        "BWLIMIT_FILE",
        "CA_CERT",
        "CACHE_DIR",
        "CLIENT_CERT",
        "CLIENT_KEY",
        "CLIENT_PASS",
        "CONFIG",
        "DISABLE_HTTP2",
        "DISABLE_HTTP_KEEP_ALIVES",
        "DSCP",
        "EXPECT_CONTINUE_TIMEOUT",
        "HTTP_PROXY",
        "NO_CHECK_CERTIFICATE",
        "PASSWORD_COMMAND",
        "TEMP_DIR",
        "TPSLIMIT",
        "TPSLIMIT_BURST",
        "USE_COOKIES",
        "USER_AGENT",
    }
)

# `rclone config providers`, and RCLONE_CONFIG_REMOTE_OPTION. Not LOCAL: that is where our own files are read.
_REMOTES: Final = """
CONFIG ALIAS ARCHIVE AZUREBLOB AZUREFILES B2 BOX CACHE CHUNKER CLOUDINARY COMBINE COMPRESS CRYPT DOI DRIME
DRIVE DROPBOX FICHIER FILEFABRIC FILELU FILEN FILESCOM FTP GCS GOFILE GPHOTOS HASHER HDFS HIDRIVE HTTP
HUAWEIDRIVE ICLOUDDRIVE IMAGEKIT INTERNETARCHIVE INTERNXT JOTTACLOUD KOOFR LINKBOX MAILRU MEGA MEMORY
NETSTORAGE ONEDRIVE OOS OPENDRIVE PCLOUD PIKPAK PIXELDRAIN PREMIUMIZEME PROTONDRIVE PUTIO QINGSTOR QUATRIX S3
SEAFILE SFTP SHADE SHAREFILE SIA SMB STORJ SUGARSYNC SWIFT TARDIGRADE ULOZTO UNION WEBDAV YANDEX ZOHO
"""
_OF_REMOTES: Final = tuple(f"{name}_" for name in _REMOTES.split())

# Unless the user says otherwise. Without the first every listing asks for each object apart. A Swift such as Ceph's may
# return fewer names than asked for, which is no sign of the end: the second goes on to an empty page. With the third a
# wrong password of crypt is an error, and not a store in which nothing lies.
_DEFAULTS: Final = {
    "RCLONE_SWIFT_NO_LARGE_OBJECTS": "true",
    "RCLONE_SWIFT_FETCH_UNTIL_EMPTY_PAGE": "true",
    "RCLONE_CRYPT_STRICT_NAMES": "true",
}
# Whatever the user says: an object in chunks has no MD5 of its bytes.
_FIXED: Final = {"RCLONE_SWIFT_CHUNK_SIZE": "5Gi"}


def for_rclone(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that rclone is started with.

    >>> sorted(for_rclone({"HOME": "/root", "RCLONE_DRY_RUN": "true", "RCLONE_CONFIG": "/x"}).keys() - _DEFAULTS)
    ['HOME', 'RCLONE_CONFIG', 'RCLONE_SWIFT_CHUNK_SIZE']
    """
    kept = {name: value for name, value in environment.items() if _passes(name)}
    return _DEFAULTS | kept | _FIXED


def _passes(name: str) -> bool:
    if not name.upper().startswith(_PREFIX):
        return True
    option = name[len(_PREFIX) :]
    return option in _PASSING or option.startswith(_OF_REMOTES)
