"""What people and machines say when a call is answered: texts for espeak-ng, by language.

Two halves that share no text, no language and no voice: one to fit on, one to be judged by. The
English of the two halves differs in accent, voices and words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """Texts of one language: how people answer, how they answer at work, what machines say."""

    voice: str
    people: tuple[str, ...]
    offices: tuple[str, ...]
    machines: tuple[str, ...]


TO_FIT = (
    Language(
        "en-us",
        (
            "Hello?",
            "Yeah?",
            "Hi.",
            "Yes?",
            "Hello, who is this?",
            "Hi, this is Karen.",
            "Good morning.",
            "Speaking.",
            "Hello, Miller here.",
            "Yes, hello, can I help you?",
            "What is it?",
            "Hello? Hello?",
            "Hey, how are you doing?",
            "Smith residence.",
            "Hello, this is Robert speaking.",
            "Yep, go ahead.",
            "Hi there, who am I talking to?",
            "Hold on a second. Okay, yes?",
        ),
        (
            "Acme plumbing, good morning, Dave speaking.",
            "Thank you for calling Riverside Motors, this is Amy, how can I help you?",
            "Law offices of Brown and Partners, how may I direct your call?",
            "Good afternoon, City Dental, Linda speaking, what can I do for you?",
            "Front desk, this is Sam.",
            "Joe's pizza, pick up or delivery?",
        ),
        (
            (
                "Hi, you have reached Jenny. I can't come to the phone right now, so please "
                "leave your name and number after the tone and I will call you back."
            ),
            "You've reached the voicemail of Michael Turner. Please leave a message.",
            (
                "The person you are calling is not available. At the tone, please record your "
                "message. When you have finished recording, you may hang up, or press one for "
                "more options."
            ),
            (
                "Thank you for calling. Our office is closed at the moment. Our opening hours "
                "are nine to five, Monday to Friday. Please leave a message after the beep."
            ),
            "Your call has been forwarded to an automatic voice message system.",
            "Hey, it's Tom. Leave me a message.",
            "The mailbox is full and cannot accept any messages at this time. Goodbye.",
            (
                "Welcome to Northern Bank. For account balances, press one. For cards, press "
                "two. To speak to an advisor, please stay on the line."
            ),
        ),
    ),
    Language(
        "de",
        (
            "Hallo?",
            "Ja, bitte?",
            "Müller.",
            "Schneider, guten Tag.",
            "Ja, hallo, wer ist da?",
            "Guten Morgen, hier ist Anna Weber.",
            "Moin.",
            "Ja?",
        ),
        (
            "Schreinerei Weber, guten Tag.",
            "Autohaus Becker, mein Name ist Petra Klein, was kann ich für Sie tun?",
            "Praxis Doktor Lange, einen Moment bitte.",
        ),
        (
            (
                "Guten Tag. Sie haben die Mailbox von Familie Keller erreicht. Wir sind zur "
                "Zeit nicht da. Bitte sprechen Sie nach dem Signalton."
            ),
            (
                "Der Teilnehmer ist momentan nicht erreichbar. Bitte versuchen Sie es später "
                "noch einmal."
            ),
            (
                "Hallo, hier ist der Anrufbeantworter von Peter. Bitte hinterlassen Sie eine "
                "Nachricht nach dem Ton, ich rufe zurück."
            ),
        ),
    ),
    Language(
        "fr-fr",
        (
            "Allô?",
            "Oui, allô?",
            "Oui, bonjour.",
            "Allô, qui est à l'appareil?",
            "Oui?",
            "Allô oui, c'est Pierre.",
            "Bonjour, Claire à l'appareil.",
        ),
        (
            "Garage du centre, bonjour, que puis-je pour vous?",
            "Cabinet du docteur Martin, bonjour.",
        ),
        (
            (
                "Bonjour, vous êtes bien sur la messagerie de Claire. Je ne suis pas disponible"
                " pour le moment. Laissez un message après le signal sonore."
            ),
            "Votre correspondant n'est pas disponible. Veuillez laisser un message après le bip.",
            (
                "Bonjour et bienvenue chez Dupont. Tous nos conseillers sont en ligne, merci de"
                " bien vouloir patienter quelques instants."
            ),
        ),
    ),
    Language(
        "pl",
        ("Halo?", "Tak, słucham?", "Słucham.", "Dzień dobry, kto mówi?", "Halo, tu Marek."),
        ("Dzień dobry, firma Nowak, w czym mogę pomóc?",),
        (
            (
                "Dzień dobry, tu poczta głosowa. Abonent jest chwilowo niedostępny, proszę "
                "zostawić wiadomość po sygnale."
            ),
            "Cześć, nie mogę teraz odebrać. Zostaw wiadomość, oddzwonię.",
        ),
    ),
)

TO_JUDGE = (
    Language(
        "en-gb-scotland",
        (
            "Hello, you alright?",
            "Aye?",
            "Morning.",
            "Who's calling?",
            "Hello, Fiona speaking.",
            "Yes, this is she.",
            "Hiya.",
            "Yes. Who is it, please?",
            "Hello there.",
            "Can you hear me?",
        ),
        (
            "Northside dental surgery, how can I help?",
            "Good morning, Grant and sons, you are through to Moira, what can I do for you today?",
            "Reception, good evening.",
        ),
        (
            (
                "Hello, we are sorry we missed you. Leave your details after the long tone, and"
                " someone will ring you back as soon as they can."
            ),
            (
                "This is the answering service for Fraser Electrical. All our engineers are out"
                " on jobs just now. If it is urgent, ring the mobile number on our website."
            ),
            "I am afraid nobody is home. Speak after the beep, thank you.",
            "The number you have called is switched off. Please try again later.",
        ),
    ),
    Language(
        "es",
        (
            "¿Diga?",
            "¿Sí?",
            "Hola, ¿quién es?",
            "Dígame.",
            "¿Hola? Buenos días.",
            "Sí, soy yo, ¿de parte de quién?",
        ),
        ("Talleres García, buenos días, ¿en qué puedo ayudarle?", "Recepción, dígame."),
        (
            (
                "Hola, has llamado a María. Ahora mismo no puedo atenderte. Deja tu mensaje "
                "después de la señal y te llamaré."
            ),
            (
                "El teléfono al que llama está apagado o fuera de cobertura. Deje su mensaje "
                "después de oír la señal."
            ),
        ),
    ),
    Language(
        "it",
        ("Pronto?", "Sì, pronto, chi parla?", "Pronto, sono Luca.", "Mi dica."),
        ("Officina Rossi, buongiorno, in cosa posso esserle utile?",),
        (
            (
                "Risponde la segreteria telefonica di casa Bianchi. In questo momento non siamo"
                " in casa, lasciate un messaggio dopo il segnale acustico."
            ),
            (
                "Il cliente da lei chiamato non è al momento raggiungibile. La preghiamo di "
                "richiamare più tardi."
            ),
        ),
    ),
    Language(
        "nl",
        ("Hallo?", "Met Jan.", "Ja, hallo, met De Vries.", "Goedemorgen, met wie spreek ik?"),
        ("Garage Jansen, goedemiddag, waarmee kan ik u helpen?",),
        (
            (
                "Dit is de voicemail van Sanne. Ik kan de telefoon nu niet opnemen. Spreek een "
                "bericht in na de piep, dan bel ik je terug."
            ),
        ),
    ),
    Language(
        "pt-br",
        ("Alô?", "Pois não?", "Alô, quem fala?", "Oi, tudo bem?"),
        ("Clínica Santa Luzia, bom dia, em que posso ajudar?",),
        (
            (
                "Você ligou para a caixa postal de João. No momento não posso atender. Deixe o "
                "seu recado após o sinal."
            ),
        ),
    ),
)

VOICES_TO_FIT = ("", "m1", "m3", "m5", "m7", "f1", "f3", "f5", "klatt", "Andy", "steph")
VOICES_TO_JUDGE = ("m2", "m4", "m6", "m8", "f2", "f4", "klatt3", "Michael", "linda", "grandma")
