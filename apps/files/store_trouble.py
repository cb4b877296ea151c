"""What went wrong when the S3 store was tried, and what to do: sentences for who configures it, never with a secret."""

from __future__ import annotations

import enum

from apps.files.address import url_shown


class Right(enum.Enum):
    """What the key must be allowed: in words, and as S3's policies call it."""

    LIST = ("list", "s3:ListBucket")
    READ = ("read from", "s3:GetObject")
    WRITE = ("write to", "s3:PutObject")
    DELETE = ("delete from", "s3:DeleteObject")


_KEYS = "Enter the access key and its secret key again."
_REGION = "The bucket “{bucket}” lies in another region than the settings say. Correct the region."
_NO_BUCKET = "There is no bucket “{bucket}” at {store}. Create it, or correct its name or the endpoint."
_ANSWERS = {
    "NoSuchBucket": _NO_BUCKET,
    "404": _NO_BUCKET,
    "BadBucket": "“{bucket}” is no bucket's name. Correct it.",
    "BadEndpoint": "“{store}” is no endpoint. Correct it.",
    "BadRegion": "The region is none that there can be. Correct it.",
    "InvalidBucketName": "“{bucket}” is no bucket's name. Correct it.",
    "InvalidAccessKeyId": f"{{store}} does not know the access key. {_KEYS}",
    "SignatureDoesNotMatch": f"{{store}} does not accept the secret key. {_KEYS}",
    "RequestTimeTooSkewed": "The clocks of {store} and of this machine are too far apart. Set them.",
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "": "{store} answers, but not as S3 does. Correct the endpoint.",
}


def store_name(endpoint: str) -> str:
    return url_shown(endpoint) or "Amazon S3"


def answer_words(code: str, right: Right, bucket: str, endpoint: str, *, has_key: bool) -> str:
    """For what the store answered; no code at all: it was no answer of S3."""
    store = store_name(endpoint)
    if code in {"AccessDenied", "403"}:
        who, remedy = ("the key", "Give it") if has_key else ("anybody", "Enter a key that has")
        sentence = (
            f"{store} does not let {who} {right.value[0]} the bucket “{bucket}”. {remedy} {right.value[1]} there."
        )
    elif code in _ANSWERS:
        sentence = _ANSWERS[code].format(bucket=bucket, store=store)
    else:
        plain = "".join(letter for letter in str(code)[:60] if letter.isprintable())
        sentence = f"{store} answered {plain} for the bucket “{bucket}”. Correct the endpoint, or ask who runs it."
    left = " The small object that the panel wrote there stays." if right is Right.DELETE else ""
    return sentence + left


def away_words(reason: str, endpoint: str, *, is_tls: bool) -> str:
    """For a store that could not be asked, with the reason in a few words."""
    remedy = (
        "Correct the endpoint, or have AWS_CA_BUNDLE name a file with the authority that signed its certificate."
        if is_tls
        else "Correct the endpoint, or see that it runs and that this machine may connect to it."
    )
    return f"{store_name(endpoint)} could not be asked: {reason}. {remedy}"
