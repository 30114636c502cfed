"""Decryption of arguments, with texts that OpenSSL's own command made: enc -aes-256-cbc -md md5 -salt -a -A."""

import base64

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.plugin.arguments import decrypt, looks_encrypted

PASSPHRASE = "sample passphrase ü"
CLEAR = '{"state": {"lastRun": 0}, "properties": {"apiKey": "sample"}}'
MADE = "U2FsdGVkX18yycfJ09EQIL+X+iJYHk/pXwn5QO5w1JZUvi97L9eyYLpTWu7xpfLeKFWiGG7SRGTTU6ykaXV0Gq6zqCoswogO+I8BAKgZIvs="


def test_what_openssl_made_is_read() -> None:
    assert decrypt(MADE, PASSPHRASE, name="x") == CLEAR
    assert decrypt(f" {MADE[:30]}\n{MADE[30:]}\n", PASSPHRASE, name="x") == CLEAR
    assert looks_encrypted(MADE)
    assert not looks_encrypted(CLEAR)


@pytest.mark.parametrize("key", ["", "x", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_another_key_is_told(key: str) -> None:
    with pytest.raises(ConfigError, match="another key"):
        decrypt(MADE, key, name="x")


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_a_text_that_is_cut_or_changed_is_told(cut: int) -> None:
    raw = bytearray(base64.b64decode(MADE))
    with pytest.raises(ConfigError, match="cannot be decrypted"):
        decrypt(base64.b64encode(raw[:-cut]).decode(), PASSPHRASE, name="x")
    raw[-1] ^= 1
    with pytest.raises(ConfigError, match="cannot be decrypted"):
        decrypt(base64.b64encode(raw).decode(), PASSPHRASE, name="x")


def test_no_part_of_the_text_is_in_the_message() -> None:
    for text in (CLEAR, MADE, "not base64 " + CLEAR):
        with pytest.raises(ConfigError) as caught:
            decrypt(text, "wrong", name="x")
        assert "sample" not in f"{caught.value} {caught.value.hint}"
