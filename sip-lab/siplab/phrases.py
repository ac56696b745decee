"""What the far ends say, in whose voice: the texts espeak-ng speaks, and nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """One text in one espeak-ng voice; *pitch* 0-99, *speed* in words a minute."""

    name: str
    voice: str
    text: str
    pitch: int = 50
    speed: int = 165


HELLOS = (
    Phrase("en1", "en-us", "Hello?", 42),
    Phrase("en2", "en-us+f3", "Hello?", 60, 175),
    Phrase("en3", "en-gb", "Hello, who is this?", 38),
    Phrase("en4", "en-gb+f2", "Yes, hello?", 55),
    Phrase("en5", "en-us+m3", "Yeah?", 35),
    Phrase("en6", "en-gb-scotland+f4", "Hi, this is Karen.", 58),
    Phrase("en7", "en-us+m5", "Hello. Hello?", 47, 150),
    Phrase("de1", "de", "Hallo?", 45),
    Phrase("de2", "de+f3", "Ja, bitte?", 60),
    Phrase("fr1", "fr-fr", "Allô?", 45),
    Phrase("fr2", "fr-fr+f2", "Oui, allô?", 60),
    Phrase("es1", "es+m2", "Diga?", 40),
)
"""How people answer their phones."""

BUSINESSES = (
    Phrase("en1", "en-us+f2", "Acme plumbing, good morning, Dave speaking.", 52, 170),
    Phrase("en2", "en-gb", "Northside dental surgery, how can I help?", 44, 175),
    Phrase("de1", "de+f4", "Schreinerei Weber, guten Tag.", 58, 165),
)
"""How people answer at work: longer, and hard to tell from a machine."""

CONVERSATION = {
    "en": (
        "Yes, that is me.",
        "Okay. And what is it about?",
        "I see. Could you tell me a little more?",
        "No, I do not think I have that one.",
        "All right, that sounds fine.",
    ),
    "de": (
        "Ja, am Apparat.",
        "Und worum geht es?",
        "Aha. Können Sie das genauer sagen?",
        "Nein, das habe ich nicht.",
        "Gut, in Ordnung.",
    ),
    "fr": (
        "Oui, c'est moi.",
        "C'est à quel sujet?",
        "Je vois. Pouvez-vous préciser?",
        "Non, je n'en ai pas.",
        "D'accord, très bien.",
    ),
    "es": (
        "Sí, soy yo.",
        "¿De qué se trata?",
        "Ya veo. ¿Puede explicarme un poco más?",
        "No, no tengo ninguno.",
        "Muy bien, de acuerdo.",
    ),
}
"""What people say once they talk, per language."""

GREETINGS = (
    Phrase(
        "en1",
        "en-us+f3",
        "Hi, you have reached Jenny. I can't come to the phone right now,"
        " so please leave your name and number after the tone and I will call you back.",
        58,
        170,
    ),
    Phrase(
        "en2",
        "en-gb",
        "The person you are calling is not available. Please leave a message after the tone."
        " When you have finished recording, you may hang up.",
        40,
        165,
    ),
    Phrase(
        "en3",
        "en-us+m2",
        "Thank you for calling. Nobody is available to take your call."
        " Please leave a message after the beep, and we will get back to you.",
        45,
        175,
    ),
    Phrase(
        "de1",
        "de",
        "Guten Tag. Sie haben die Mailbox von Familie Keller erreicht. Wir sind zur Zeit nicht da."
        " Bitte sprechen Sie nach dem Signalton.",
        45,
        170,
    ),
    Phrase(
        "fr1",
        "fr-fr+f2",
        "Bonjour, vous êtes bien sur la messagerie de Claire. Je ne suis pas disponible pour le"
        " moment. Laissez un message après le signal sonore.",
        60,
        170,
    ),
)
"""Voicemail greetings, six to eight seconds long."""

SHORT_WORD_GREETING = Phrase(
    "en1",
    "en-us",
    "I am not here at the moment. Please leave your name and number after the tone, thank you.",
    44,
    165,
)
"""Follows 'Hello?' and a pause: the machine that sounds like a person for its first second."""

NOT_IN_SERVICE = Phrase(
    "en1",
    "en-us+f2",
    "We are sorry. The number you have dialed is not in service."
    " Please check the number and dial again.",
    55,
    170,
)
