"""What the detector believes of sounds whose nature is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.model import Screening
from dialer.screening import Detector, DetectorBank, Posterior
from siplab import g711, speech
from tests.unit.dialer.screening import sounds
from tests.unit.dialer.screening.sounds import noise, pcm, quiet, tone

STEP_BYTES = 1600


def course(audio: bytes, *, detector: Detector | None = None) -> list[Posterior]:
    """Return what is believed after every 100 ms."""
    detector = detector or Detector()
    return [detector.feed(audio[at : at + STEP_BYTES]) for at in range(0, len(audio), STEP_BYTES)]


def verdict(audio: bytes) -> Posterior:
    """Return the first posterior with a verdict, the last one if there is none."""
    believed = course(audio)
    return next((posterior for posterior in believed if posterior.is_final), believed[-1])


def lab(name: str, seconds: float = 12.0) -> bytes:
    """Return a sound of the lab as the line brings it."""
    encoded = (speech.ensure() / f"{name}.ulaw").read_bytes()[: round(seconds * 8000)]
    return g711.linear(encoded, 0).tobytes()


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2])
@pytest.mark.parametrize("pitch", [90.0, 120.0, 210.0, 300.0])
def test_short_answer_and_silence(seconds: float, pitch: float) -> None:
    """
    Somebody who says a word or two and then waits is a person, within a second of the last word.
    """
    found = verdict(pcm(quiet(0.5), sounds.speech(seconds, pitch=pitch), quiet(3)))

    assert Screening.PERSON is found.state
    assert 0.5 + seconds + 1.1 >= found.heard_s


@pytest.mark.parametrize("level_db", [-38.0, -28.0, -14.0])
def test_answer_in_noise(level_db: float) -> None:
    """
    A person is a person on a quiet line, a loud one, and one with 20 dB of noise on it.
    """
    voice = np.concatenate([quiet(0.8), sounds.speech(0.7, level_db=level_db), quiet(2.5)])
    noisy = voice + noise(5, level_db=level_db - 20)[: len(voice)]

    assert Screening.PERSON is verdict(pcm(noisy)).state


@pytest.mark.parametrize("seconds", [5.0, 8.0])
def test_somebody_talks_on(seconds: float) -> None:
    """
    Who talks on and on without a pause is a machine, and odds of 50 to 1 stand behind it.
    """
    found = verdict(pcm(quiet(0.5), sounds.speech(seconds), quiet(3)))

    assert Screening.MACHINE is found.state
    assert found.confidence >= 0.98
    assert found.heard_s >= 2.0


def test_end_of_the_greeting() -> None:
    """
    The end of speech, where the legal clock starts, is found to a tenth of a second.
    """
    found = verdict(pcm(quiet(0.7), sounds.speech(1.0), quiet(3)))

    assert pytest.approx(1.7, abs=0.1) == found.greeting_end_s


def test_no_end_of_the_greeting_while_it_lasts() -> None:
    """
    A greeting that goes on has no end yet, so no clock starts.
    """
    found = course(pcm(quiet(0.5), sounds.speech(3.0)))[-1]

    assert found.greeting_end_s is None
    assert found.speech_s > 2.0


def test_fax_that_answers() -> None:
    """
    2100 Hz is a fax or modem answering (ITU-T T.30 CED).
    """
    found = verdict(pcm(quiet(0.5), tone(2100, seconds=3)))

    assert (Screening.FAX, "fax_answering") == (found.state, found.cause)


def test_fax_that_calls() -> None:
    """
    Half seconds of 1100 Hz are a fax calling (ITU-T T.30 CNG).
    """
    found = verdict(pcm(quiet(1.2), tone(1100, seconds=0.5), quiet(3)))

    assert (Screening.FAX, "fax_calling") == (found.state, found.cause)


@pytest.mark.parametrize(
    "tones",
    [
        [(950, 0.33), (1400, 0.33), (1800, 0.33)],
        [(985, 0.276), (1371, 0.276), (1777, 0.38)],
        [(914, 0.38), (1429, 0.38), (1777, 0.38)],
    ],
)
def test_special_information(tones: list[tuple[int, float]]) -> None:
    """
    Three rising tones announce that the network speaks (ITU-T E.180, ANSI T1.401).
    """
    found = verdict(pcm(quiet(0.3), *[tone(hz, seconds=s) for hz, s in tones], quiet(2)))

    assert (Screening.TONE, "special_information") == (found.state, found.cause)


@pytest.mark.parametrize(
    ("hertz", "on", "off"),
    [
        ((480, 620), 0.5, 0.5),
        ((480, 620), 0.25, 0.25),
        ((425,), 0.48, 0.48),
        ((400,), 0.375, 0.375),
    ],
    ids=["busy US", "congestion US", "busy DE", "busy GB"],
)
def test_busy_tone_after_the_answer(hertz: tuple[float, ...], on: float, off: float) -> None:
    """
    A call answered only to play a busy tone is known before it counts as silence.
    """
    found = verdict(pcm(*[s for _ in range(8) for s in (tone(*hertz, seconds=on), quiet(off))]))

    assert (Screening.TONE, "busy") == (found.state, found.cause)


@pytest.mark.parametrize(
    "ring",
    [
        [tone(440, 480, seconds=1.1)],
        [tone(400, 450, seconds=0.4), quiet(0.2), tone(400, 450, seconds=0.4)],
        [tone(425, seconds=1.0)],
    ],
    ids=["US", "GB", "DE"],
)
def test_tail_of_ringback_before_the_answer(ring: list[sounds.Samples]) -> None:
    """
    Ringback that is still in the pipe is no speech: the person after it is heard as one.
    """
    found = verdict(pcm(*ring, quiet(0.3), sounds.speech(0.6), quiet(3)))

    assert Screening.PERSON is found.state
    assert found.speech_s < 1.0


def test_endless_ringback_goes_to_the_agent() -> None:
    """
    A switchboard that rings on has somebody behind it: never a machine, never hung up.
    """
    states = {p.state for p in course(lab("ringback", 12))}

    assert {Screening.LISTENING, Screening.SILENCE} == states


def test_nothing_at_all() -> None:
    """
    Digital silence is silence after four seconds, and stays it.
    """
    believed = course(pcm(quiet(12)))

    assert {Screening.LISTENING, Screening.SILENCE} == {p.state for p in believed}
    assert 4.0 == next(p.heard_s for p in believed if p.is_final)


def test_word_after_long_silence() -> None:
    """
    Who answers with silence and speaks at last is a person after all.
    """
    believed = course(pcm(quiet(5), sounds.speech(0.6), quiet(2)))

    assert Screening.PERSON is believed[-1].state


def test_beep_speaks_for_a_machine() -> None:
    """
    The same greeting is more likely a machine's when a pure tone follows it.
    """
    greeting = sounds.speech(2.5)
    plain = course(pcm(quiet(0.5), greeting, quiet(1.0)))[-1]
    beeped = course(pcm(quiet(0.5), greeting, quiet(0.4), tone(1000, seconds=0.4), quiet(0.2)))[-1]

    assert beeped.p_machine > plain.p_machine
    assert (0.0, 1.0) == (plain.features["beeps"], beeped.features["beeps"])


def test_restart_at_the_answer() -> None:
    """
    What was heard before the answer is forgotten.
    """
    detector = Detector()
    course(pcm(sounds.speech(6)), detector=detector)
    detector.restart()
    believed = course(pcm(quiet(0.5), sounds.speech(0.6), quiet(2)), detector=detector)

    assert Screening.PERSON is believed[-1].state
    assert 3.1 == believed[-1].heard_s


def test_bank_hears_each_stream_alone() -> None:
    """
    Streams that come in together, in unequal pieces, are believed what each would be alone.
    """
    sounds_of = [
        pcm(quiet(0.5), sounds.speech(0.6), quiet(2.4)),
        pcm(quiet(0.3), sounds.speech(6, pitch=200)),
        pcm(quiet(0.2), tone(2100, seconds=2)),
        pcm(quiet(5)),
    ]
    bank = DetectorBank(4)
    streams = [bank.open() for _ in sounds_of]
    believed: dict[int, Posterior] = {}
    for at in range(0, 16_000 * 7, 2400):
        pieces = [(s, a[at : at + 2400 - 100 * s]) for s, a in zip(streams, sounds_of, strict=True)]
        believed |= bank.feed(dict(pieces))
        believed |= bank.feed(
            {s: a[at + 2400 - 100 * s : at + 2400] for s, a in zip(streams, sounds_of, strict=True)}
        )
    alone = [course(audio)[-1] for audio in sounds_of]

    assert [p.state for p in alone] == [believed[s].state for s in streams]
    assert [p.features for p in alone] == [believed[s].features for s in streams]


def test_bank_reuses_places() -> None:
    """
    A closed stream's place goes to the next call with nothing heard; a full bank says so.
    """
    bank = DetectorBank(1)
    first = bank.open()
    bank.feed({first: pcm(sounds.speech(3))})
    with pytest.raises(IndexError):
        bank.open()
    bank.close(first)
    second = bank.open()

    assert 0.0 == bank.posteriors([second])[second].heard_s


@settings(max_examples=30)
@given(
    cuts=st.lists(st.integers(1, 40_000), max_size=12),
    seconds=st.sampled_from([0.5, 1.5, 3.5]),
    seed=st.integers(0, 50),
)
def test_any_pieces_give_the_same_verdict(cuts: list[int], seconds: float, seed: int) -> None:
    """
    However the audio is cut, even within a sample, the same is believed at its end.
    """
    audio = pcm(quiet(0.4), sounds.speech(seconds, seed=seed), quiet(1.5))
    detector = Detector()
    at = 0
    for cut in cuts:
        detector.feed(audio[at : at + cut])
        at += cut
    found = detector.feed(audio[at:])
    whole = Detector().feed(audio)

    assert (whole.state, whole.cause, whole.features) == (found.state, found.cause, found.features)


@given(st.lists(st.binary(max_size=4000), max_size=20))
def test_any_bytes_are_heard(pieces: list[bytes]) -> None:
    """
    No bytes whatever make the detector fail, and probabilities stay probabilities.
    """
    detector = Detector()
    for piece in pieces:
        found = detector.feed(piece)

        assert 0.0 <= found.p_machine <= 1.0
        assert 0.0 <= found.confidence <= 1.0


@settings(max_examples=30)
@given(level_db=st.floats(-90, -6), seed=st.integers(0, 1000))
def test_steady_noise_is_no_machine(level_db: float, seed: int) -> None:
    """
    Noise that never moves is never a machine, however loud or soft.
    """
    # A machine once believed in stays one, so the end tells of all that came before.
    found = Detector().feed(pcm(noise(7, level_db=level_db, seed=seed)))

    assert Screening.SILENCE is found.state


@pytest.mark.parametrize("name", [*speech.names("person"), *speech.names("business")])
def test_people_of_the_lab(name: str) -> None:
    """
    Everybody in the lab who answers a phone gets an agent, also those who answer at work.
    """
    assert Screening.PERSON is verdict(lab(name)).state


@pytest.mark.parametrize("name", [*speech.names("voicemail"), "voicemail_short_word"])
def test_voicemail_of_the_lab(name: str) -> None:
    """
    Every voicemail is known for a machine in the end, some only after passing for a person.
    """
    assert Screening.MACHINE in {p.state for p in course(lab(name))}


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("fax_ced", Screening.FAX),
        ("fax_cng", Screening.FAX),
        ("sit", Screening.TONE),
        ("not_in_service", Screening.TONE),
        ("silence", Screening.SILENCE),
    ],
)
def test_other_ends_of_the_lab(name: str, state: Screening) -> None:
    """
    Fax, network announcement and silence are told apart.
    """
    assert state is verdict(lab(name)).state
