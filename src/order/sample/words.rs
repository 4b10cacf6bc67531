//! The words that sample orders are made of. None needs escaping in JSON.

use std::ops::Range;

pub(super) struct Place {
    pub city: &'static str,
    pub region: &'static str,
    pub calling_code: &'static str,
    pub currency: &'static str,
    pub locale: &'static str,
}

const fn place(
    city: &'static str,
    region: &'static str,
    calling_code: &'static str,
    currency: &'static str,
    locale: &'static str,
) -> Place {
    Place {
        city,
        region,
        calling_code,
        currency,
        locale,
    }
}

/// With eight digits behind the calling code, each phone is E.164.
pub(super) const PLACES: [Place; 20] = [
    place("Kiryat Motzkin", "Haifa District", "972", "ILS", "he"),
    place("Tel Aviv", "Gush Dan", "972", "ILS", "he"),
    place("Berlin", "Berlin", "4930", "EUR", "de"),
    place("Köln", "Nordrhein-Westfalen", "49221", "EUR", "de"),
    place("Zürich", "Zürich", "4144", "CHF", "de"),
    place("Lyon", "Auvergne-Rhône-Alpes", "334", "EUR", "fr"),
    place("Łódź", "Łódzkie", "4842", "PLN", "pl"),
    place("São Paulo", "São Paulo", "5511", "BRL", "pt"),
    place("Porto", "Norte", "35122", "EUR", "pt"),
    place("Austin", "Texas", "1512", "USD", "en"),
    place("Portland", "Oregon", "1503", "USD", "en"),
    place("Leeds", "West Yorkshire", "44113", "GBP", "en"),
    place("Toronto", "Ontario", "1416", "CAD", "en"),
    place("Алматы", "Алматы", "7727", "KZT", "ru"),
    place("Ереван", "Ереван", "374", "AMD", "ru"),
    place("Минск", "Минская область", "37517", "BYN", "ru"),
    place(
        "Санкт-Петербург",
        "Ленинградская область",
        "7812",
        "RUB",
        "ru",
    ),
    place("İzmir", "Ege", "90232", "TRY", "tr"),
    place("大阪市", "大阪府", "816", "JPY", "ja"),
    place("Mumbai", "Maharashtra", "9122", "INR", "en"),
];

pub(super) struct Product {
    pub name: &'static str,
    pub brand: &'static str,
    pub prices: Range<i64>,
    pub sizes: &'static [&'static str],
}

const fn product(
    name: &'static str,
    brand: &'static str,
    prices: Range<i64>,
    sizes: &'static [&'static str],
) -> Product {
    Product {
        name,
        brand,
        prices,
        sizes,
    }
}

const ONE: &[&str] = &["0"];
const CLOTHES: &[&str] = &["XS", "S", "M", "L", "XL", "XXL"];
const SHOES: &[&str] = &["36", "37", "38", "39", "40", "41", "42", "43", "44", "45"];

pub(super) const PRODUCTS: [Product; 18] = [
    product("Mascaras", "Vivienne Sabo", 300..700, ONE),
    product("Lipstick Matte 07", "Maybelline", 400..900, ONE),
    product("Running shoes Pegasus", "Nike", 6_000..14_000, SHOES),
    product("Sneakers Gazelle", "Adidas", 5_000..11_000, SHOES),
    product("Boots 1460", "Dr. Martens", 12_000..19_000, SHOES),
    product(
        "T-shirt, organic cotton",
        "Armedangels",
        1_500..3_500,
        CLOTHES,
    ),
    product("Jeans 501", "Levi's", 4_500..9_900, CLOTHES),
    product("Rain jacket", "Jack Wolfskin", 8_000..18_000, CLOTHES),
    product("Wool sweater", "Uniqlo", 2_900..5_900, CLOTHES),
    product("Headphones WH-CH520", "Sony", 3_500..6_000, ONE),
    product("USB-C charger 65 W", "Anker", 2_500..4_500, ONE),
    product("Mechanical keyboard K2", "Keychron", 7_000..12_000, ONE),
    product("French press 1 l", "Bodum", 2_000..4_000, ONE),
    product("Chef's knife 20 cm", "Victorinox", 3_500..6_500, ONE),
    product("Saucepan 2.5 l", "Fissler", 5_000..12_000, ONE),
    product("Building set 10698", "LEGO", 3_500..5_500, ONE),
    product("Yoga mat", "Manduka", 4_000..11_000, ONE),
    product("Novel, paperback", "Penguin", 900..1_900, ONE),
];

/// ASCII, since e-mail addresses are made of them.
pub(super) const FIRST_NAMES: [&str; 24] = [
    "Anna", "Mateo", "Yael", "Igor", "Lucia", "Noah", "Amina", "Jonas", "Priya", "Kenji", "Olga",
    "Tomasz", "Chloe", "Omar", "Ines", "Felix", "Sofia", "Aram", "Zeynep", "Daniel", "Maria",
    "Leo", "Fatima", "Viktor",
];

pub(super) const LAST_NAMES: [&str; 24] = [
    "Levi",
    "Keller",
    "Novak",
    "Silva",
    "Tanaka",
    "Ivanova",
    "Kowalski",
    "Haddad",
    "Martin",
    "Okafor",
    "Petrosyan",
    "Demir",
    "Sharma",
    "Brown",
    "Costa",
    "Weber",
    "Cohen",
    "Garcia",
    "Lindqvist",
    "Smirnov",
    "Dubois",
    "Nguyen",
    "Taylor",
    "Rossi",
];

pub(super) const STREETS: [&str; 12] = [
    "Ploshad Mira",
    "High Street",
    "Hauptstraße",
    "Rue de la République",
    "Herzl St.",
    "Avenida Paulista",
    "Station Road",
    "ul. Piotrkowska",
    "Невский проспект",
    "Bahnhofstrasse",
    "Maple Avenue",
    "Via Roma",
];

pub(super) const MAIL: [&str; 4] = ["example.com", "example.org", "example.net", "mail.example"];

pub(super) const BANKS: [&str; 6] = ["alpha", "sber", "leumi", "n26", "revolut", "barclays"];

pub(super) const CARRIERS: [&str; 6] = ["meest", "dhl", "dpd", "gls", "ups", "cdek"];
