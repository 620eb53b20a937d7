/// Texts as subscribers write them: the scripts of the vendor's markets and beyond, and what tends to break on the way.
enum SampleTexts {
    static let outgoing = [
        "Hi Thandi, your parcel is at the counter. Ref 8841.",
        "Your appointment is on 12 March at 09:30. Reply YES to confirm.",
        "50% off this weekend only! T&Cs apply: https://example.com/?a=1&b=2",
        "Beste kliënt, u rekening van R1 250,00 is betaal. Dankie!",
        "Sawubona! Imali yakho ifikile.",
        "Jou kode is 004512. Moenie dit deel nie.",
    ]

    static let incoming = [
        "Yes please", "YES", "ok 👍", "Thank you so much 🙏🏽", "👨‍👩‍👧‍👦 four tickets", "🇿🇦", "",
        "Ja, asseblief. Môre om 8:00 is reg", "Ngiyabonga kakhulu", "Enkosi, ndiza kufika", "Ke a leboha",
        "Спасибо, буду завтра", "謝謝，明天見", "ありがとうございます", "감사합니다", "धन्यवाद, कल मिलते हैं",
        "شكرا جزيلا", "תודה רבה", "ευχαριστώ", "ขอบคุณครับ", "አመሰግናለሁ", "Ña\u{0301}ndu e\u{0301}",
        "He said \"no\" & left; 100% sure?", "a+b=c #1 /path\\back", "line one\nline two\ttab", "  spaces around  ",
        "O'Neil <o@example.com>", "null", "true", "12345", "{\"not\":\"json\"}", "@@Name@@", "%41%zz",
    ]

    /// The vendor's examples of opt-out phrases, as people spell them.
    static let optOut = [
        "STOP", "Stop.", "stop", "Unsubscribe", "UNSUBSCRIBE!", "Remove", "Opt-Out", "opt out", "Quit", " delete ",
        "Spam",
    ]

    static let keywords = ["someone", "WIN", "INFO", "join", "Café"]
    static let pages = ["ExampleLandingTemplate", "Spring Sale", "Polis – hernuwing", "Survey_2"]
    static let components = ["button_77", "link_2", "image_header"]
    static let groups = ["Test group name", "Debtors (June)", "VIP & friends"]
    static let statuses = ["UNDELIV", "EXPIRED", "BLIST", "SUBMITD", "STAGED", "CANCELLED", "NOROUTE"]
    /// South African networks by their code within 655.
    static let networks = ["01", "02", "07", "10", "38"]
    static let codes = ["40001", "31022", "48000"]
}
