"""What opens an address is never repeated: not in an error, not in what a command prints."""

import pickle
from pathlib import Path

import pytest

from scroll.config.reader import load_settings
from scroll.errors import InputError, MissingInputError
from scroll.redacted import redacted
from scroll.runtime.command_line import run_command
from scroll.volumes import open_volume
from scroll.volumes.url import path_or_url

SECRET = "s3cr3t"
ADDRESSES = (
    f"https://me:{SECRET}@host/a.zarr", f"s3://{SECRET}:{SECRET}@bucket/a", f"https://{SECRET}@host", f"ftp://me:{SECRET}@host/a.zarr",
    f"https:/me:{SECRET}@host/a.zarr", f"https://host/a.zarr?X-Amz-Credential={SECRET}%2Fx&X-Amz-Signature={SECRET}",
    f"https://host/a.zarr?versionId=7&AWSAccessKeyId={SECRET}&Signature={SECRET}&Expires=1", f"https://h/a?sv=2024&sig={SECRET}%3D",
    f"https://h/a?access_token={SECRET}", f"https://h/a?X-Goog-Signature={SECRET}", f"https://h/a#token={SECRET}", f"gs://h/a?{'KEY'}={SECRET}",
    f"s3://AKIA:a/b+{SECRET}@bucket/a", f"https://me:p?#{SECRET}@host/a", f"https://h/a?api-key={SECRET}", f"https://h/a?sig%3D{SECRET}",
    f"https://h/a?u=https%3A%2F%2Fh%3Fsig%3D{SECRET}", f"https://h/a?secretAccessKey={SECRET}", f"AccountName=a;AccountKey={SECRET};b=c",
    f"AWS_SECRET_ACCESS_KEY={SECRET}", "'Authorization': 'Bearer " + SECRET + "'", f"x-api-key: {SECRET}", f"https://h/a?Key-Pair-Id={SECRET}",
    f"https://me:{SECRET}@host:port/a", f"https://user:p@{SECRET}@host/a",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_error_repeats_what_opens_an_address(address):
    for given in (
        InputError(f"{address}: not there"),
        MissingInputError(f"{address}: not there"),
        InputError([address], address),
    ):
        message = str(given) if len(given.args) == 1 else given.args[1]
        assert SECRET not in message and ("not there" in message or len(given.args) > 1)
        assert pickle.loads(pickle.dumps(given)).args == given.args
    for attempt in (path_or_url, open_volume):
        try:
            attempt(address)
        except InputError as error:
            assert SECRET not in str(error)


def test_settings_which_are_kept_and_shown_hold_none():
    with pytest.raises(InputError, match=r"'data\.volume' is https://\.\.\.@host") as message:
        load_settings(Path("configs/demo.yaml"), [f"data.volume={ADDRESSES[0]}"])
    assert SECRET not in str(message.value)


def test_a_command_does_not_print_it_either(capsys):
    def main() -> None:
        raise OSError(28, "No space left on device", ADDRESSES[0])

    with pytest.raises(SystemExit):
        run_command(main)
    assert "host/a.zarr" in (message := capsys.readouterr().err) and SECRET not in message


@pytest.mark.parametrize(
    "text",
    [
        "/a@b/key=5.zarr: not there",
        "https://host:8080/scan@2um/a.zarr?level=3: not there",
        "s3://bucket/scan@2um.zarr",
        "s3://bucket/a/54keV_7.91um.zarr",
        "https://h/a?versionId=7",
        "seed=3; a=4",
        "me@h.org",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert redacted(text) == text and redacted(redacted(ADDRESSES[0])) == redacted(ADDRESSES[0])
