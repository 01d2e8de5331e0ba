"""The words that the sandbox's people are named from.."""

GIVEN = (
    "Ada", "Amara", "Ana", "Anders", "Aylin", "Bea", "Bruno", "Carla", "Chidi", "Clara", "Dana", "Diego", "Elif", "Emil", "Fatima", "Finn",
    "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Kenji", "Lena", "Luca", "Mara", "Mateo", "Mina", "Nadia", "Noah", "Olga", "Omar",
    "Paula", "Priya", "Rafael", "Rosa", "Samir", "Sofia", "Tariq", "Thea", "Tomas", "Uma", "Vera", "Wanda", "Yara", "Zane",
)  # fmt: skip

FAMILY = (
    "Adler", "Almeida", "Banerjee", "Becker", "Castillo", "Chen", "Costa", "Demir", "Dubois", "Eriksen", "Fischer", "Fontana", "Garcia",
    "Haddad", "Hansen", "Ivanova", "Jansen", "Kaya", "Kim", "Kowalski", "Larsen", "Lopez", "Marino", "Meyer", "Mori", "Nakamura", "Novak",
    "Okafor", "Okoye", "Petrov", "Quinn", "Rahman", "Rossi", "Santos", "Schmidt", "Silva", "Tanaka", "Torres", "Ueda", "Vargas", "Weber",
    "Wong", "Yilmaz", "Zeman",
)  # fmt: skip

# Accents, an apostrophe, markup, right-to-left, wide and combining characters, emoji of several code points, surrounding blanks.
UNUSUAL = (
    "Zoë Müller", "José Ángel Núñez", "Łukasz Żółć", "Åsa Öberg", "Siân O'Brien", "Ngọc Nguyễn", "Ayşe Çelik", "Ægir Þórsson",
    "محمد الأحمد", "שירה כהן", "李小龙", "山田 太郎", "Дмитрий Соколов", "김민준", "प्रिया शर्मा", "Noe\u0308l Cafe\u0301",
    "Max 🚀", "👩‍🚀 Luna", "Sam 🏳️‍🌈 Reed", "Tom & <b>Co</b>", 'Ann "Annie" Lee', "Cher", "  Pat  Doe ",
    "Jean-Luc de La Fontaine-Saint-Exupéry III",
)  # fmt: skip

MAIL_DOMAINS = ("example.com", "example.org", "mail.test", "studio.test", "bakery.test", "post.example.com")
