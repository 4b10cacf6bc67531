mod beyond_orders;

use std::sync::LazyLock;

use super::*;

const STRICT: &str = include_str!("../../docs/strict-rules.yaml");
pub const EXAMPLE: &str = include_str!("../collection/order.json");

/// What an order is, as `collection` has it.
pub fn orders() -> &'static Model {
    static MODEL: LazyLock<Model> = LazyLock::new(|| {
        #[derive(serde::Deserialize)]
        struct Definition {
            schema: serde_json::Value,
        }
        let text = include_str!("../collection/orders.yaml");
        let definition: Definition = serde_saphyr::from_str(text).unwrap();
        Model::compile("order", &definition.schema, &["/order_uid"], &[]).unwrap()
    });
    &MODEL
}

pub fn parse(payload: &[u8]) -> Result<Record<'_>, Rejection> {
    orders().parse(payload)
}

/// A rules file with one rule.
pub fn file(rule: &str) -> String {
    let rule = serde_json::to_string(rule).unwrap();
    format!("- id: a\n  message: Some message.\n  field: order\n  rule: {rule}\n")
}

/// The outcome of one expression for a message: its value, or why it has none.
pub fn run(rule: &str, message: &str) -> Result<bool, String> {
    let rules =
        Rules::compile(&file(rule), orders()).map_err(|error| error.mistakes[0].message.clone())?;
    let order = parse(message.as_bytes()).unwrap();
    match rules.check(orders(), &order) {
        Ok(()) => Ok(true),
        Err(rejection) if rejection.first().code == Code::RuleViolated => Ok(false),
        Err(rejection) => Err(rejection.first().message.clone()),
    }
}

fn mistakes(text: &str) -> Vec<(u64, u64, String)> {
    let mistakes = Rules::compile(text, orders()).unwrap_err().mistakes;
    assert!(!mistakes.is_empty() && mistakes.len() <= 50);
    let strip = |mistake: Mistake| (mistake.line, mistake.column, mistake.message);
    mistakes.into_iter().map(strip).collect()
}

#[test]
fn expressions_have_the_values_that_cel_gives_them() {
    let cases = [
        ("true", true),
        ("!true", false),
        ("!!true", true),
        ("1 + 2 * 3 == 7", true),
        ("(1 + 2) * 3 == 9", true),
        ("7 / 2 == 3 && -7 / 2 == -3", true),
        ("7 % 4 == 3 && -7 % 4 == -3", true),
        ("-order.payment.amount == -1817", true),
        ("order.payment.amount - 1 == 1816", true),
        ("0x10 == 16", true),
        (
            "'a' < 'b' && 'b' >= 'b' && !('b' > 'b') && 'a' <= 'b' && 'a' != 'b'",
            true,
        ),
        ("1 < 2 && 2 <= 2 && !(2 > 2) && 2 >= 2 && 1 != 2", true),
        ("true == true && true != false", true),
        ("false || true", true),
        ("false && true", false),
        ("true ? 1 == 1 : 1 == 2", true),
        ("(order.sm_id > 5 ? 'many' : 'few') == 'many'", true),
        ("(order.sm_id > 500 ? 1 : 2) == 2", true),
        ("order.payment.currency in ['EUR', 'USD']", true),
        ("order.payment.currency in []", false),
        ("!(order.sm_id in [1, -2, 3])", true),
        (
            "order.locale.startsWith('e') && order.locale.endsWith('n')",
            true,
        ),
        ("order.delivery.city.contains('Moz')", true),
        ("order.delivery.city.contains(order.locale)", false),
        ("size('яя') == 2 && 'яя'.size() == 2", true),
        ("size(order.items) == 1 && order.items.size() == 1", true),
        ("order.items.all(i, i.price > 400)", true),
        ("order.items.exists(i, i.price > 500)", false),
        ("order.items.exists_one(i, i.sale == 30)", true),
        ("order.items.existsOne(i, i.sale == 31)", false),
        ("order.items.sum(i, i.total_price) == 317", true),
        (
            "order.items.map(i, i.price - i.total_price).sum() == 136",
            true,
        ),
        (
            "order.items.filter(i, i.price > 500).sum(i, i.price) == 0",
            true,
        ),
        (
            "order.items.filter(x, x.price > 5).filter(y, y.sale > 5).size() == 1",
            true,
        ),
        ("order.items[0].brand == 'Vivienne Sabo'", true),
        ("order.items[0].brand.matches('^[A-Z]')", true),
        (
            "order.items.all(i, i.name == 'Mascaras') && order.items.exists(j, j.size == '0')",
            true,
        ),
        (
            "order.items.all(i, i.track_number == order.track_number)",
            true,
        ),
        ("order.items.all(i, size(order.items) == 1)", true),
        ("order.date_created < '2022'", true),
        ("r'\\d' == '\\\\d' && \"a\" == '''a'''", true),
        ("order.sm_id == 99.0 && order.sm_id < 99.5", true),
        ("true // a comment", true),
    ];
    for (rule, expected) in cases {
        assert_eq!(run(rule, EXAMPLE), Ok(expected), "{rule}");
    }
}

#[test]
fn what_settles_an_answer_outweighs_a_failure_and_nothing_else_does() {
    let fails = "1 / (order.sm_id - 99) == 1";
    let cases = [
        (format!("false && {fails}"), Some(false)),
        (format!("{fails} && false"), Some(false)),
        (format!("true || {fails}"), Some(true)),
        (format!("{fails} || true"), Some(true)),
        (format!("{fails} || false"), None),
        (format!("true && {fails}"), None),
        (format!("!({fails})"), None),
        (format!("{fails} ? true : true"), None),
        (format!("true ? true : {fails}"), Some(true)),
        (format!("order.items.all(i, {fails})"), None),
        (format!("order.items.filter(i, {fails}).size() == 0"), None),
        (
            "order.items.exists(i, 1 / i.chrt_id == 0)".to_owned(),
            Some(true),
        ),
        ("order.items[1].price == 1".to_owned(), None),
        (
            "order.items[9223372036854775807].price == 1".to_owned(),
            None,
        ),
        ("9223372036854775807 + order.sm_id == 0".to_owned(), None),
        ("-9223372036854775808 - order.sm_id == 0".to_owned(), None),
        ("9223372036854775807 * order.sm_id == 0".to_owned(), None),
        (
            "-9223372036854775808 / (order.sm_id - 100) == 0".to_owned(),
            None,
        ),
        (
            "-9223372036854775808 % (order.sm_id - 100) == 0".to_owned(),
            None,
        ),
        (
            "-(order.sm_id * 0 - 9223372036854775807 - 1) == 0".to_owned(),
            None,
        ),
        ("1 % (order.sm_id - 99) == 0".to_owned(), None),
    ];
    for (rule, expected) in cases {
        let outcome = run(&rule, EXAMPLE);
        assert_eq!(outcome.clone().ok(), expected, "{rule}: {outcome:?}");
        if let Err(message) = outcome {
            assert!(
                message.starts_with("The rule a cannot be worked out"),
                "{rule}: {message}"
            );
        }
    }
    let two = EXAMPLE.replace(
        "\"items\": [",
        "\"items\": [{\"chrt_id\": 0, \"price\": 1, \"total_price\": 1},",
    );
    assert_eq!(
        run("order.items.exists(i, 9934930 / i.chrt_id == 1)", &two),
        Ok(true)
    );
    assert_eq!(
        run("order.items.all(i, 9934930 / i.chrt_id == 2)", &two),
        Ok(false)
    );
    assert!(run("order.items.all(i, 9934930 / i.chrt_id == 1)", &two).is_err());
    let large = EXAMPLE
        .replace("317\n", "9223372036854775807\n")
        .replace("317,", "9223372036854775807,");
    let large = large.replace(
        "\"items\": [",
        "\"items\": [{\"chrt_id\": 0, \"price\": 1, \"total_price\": 1},",
    );
    assert!(run("order.items.sum(i, i.total_price) > 0", &large).is_err());
}

#[test]
fn whatever_does_not_fit_together_is_refused_with_its_place() {
    let cases = [
        ("order.payment.amout == 1", 14, "no field `amout`"),
        ("order.nix == 1", 6, "no field `nix`"),
        ("order.items.all(i, i.nix == 1)", 21, "no field `nix`"),
        ("order.delivery.nix == ''", 15, "no field `nix`"),
        ("nix == 1", 1, "`nix` is not known"),
        ("i.price == 1", 1, "`i` is not known"),
        (
            "order.items.all(i, i.price == 1) && i.price == 1",
            37,
            "`i` is not known",
        ),
        ("order.sm_id == '99'", 13, "cannot be compared"),
        ("order.locale == 5", 14, "cannot be compared"),
        ("order.locale == null", 17, "null"),
        ("order.sm_id == 99u", 16, "one kind"),
        ("order.locale == b'en'", 17, "no bytes"),
        ("order.delivery == order.payment", 16, "cannot be compared"),
        ("order.sm_id", 1, "must be true or false"),
        ("'true'", 1, "must be true or false"),
        ("order.sm_id && true", 6, "`&&` wants true or false"),
        ("!order.sm_id", 7, "`!` wants true or false"),
        ("order.locale + 'x' == 'enx'", 14, "Only numbers"),
        ("-order.locale == 1", 7, "`-` wants a number"),
        ("true < false", 6, "cannot be compared"),
        ("true ? 1 : 'a'", 6, "Both outcomes"),
        ("order.items == order.items", 13, "cannot be compared"),
        ("order.items.price == 1", 12, "go over it"),
        ("order.locale.size == 1", 13, "has no fields"),
        ("has(order.entry)", 4, "always there"),
        ("order.nix()", 10, "no function `nix`"),
        ("nix(order)", 4, "no function `nix`"),
        (
            "timestamp(order.date_created) < timestamp('2021')",
            10,
            "no function",
        ),
        ("order.locale.matches(order.entry)", 21, "written out"),
        ("order.locale.matches('(')", 22, "unclosed group"),
        ("order.locale.matches()", 21, "is written"),
        ("order.sm_id.startsWith('a')", 6, "wants a text"),
        ("order.locale in 'en'", 14, "written out"),
        ("order.locale in ['en', 5]", 24, "not one"),
        ("order.sm_id in [order.sm_id]", 22, "written out"),
        ("order.items in [1]", 13, "before it"),
        ("['a'] == ['a']", 1, "after `in`"),
        ("{'a': 1}['a'] == 1", 1, "no maps"),
        ("order.items['a'].price == 1", 12, "order.items[0]"),
        ("order.items[-1].price == 1", 12, "order.items[0]"),
        ("order['entry'] == 'a'", 6, "order.items[0]"),
        (
            "order.items.all(i, order.items.all(j, i.price == j.price))",
            35,
            "inside another",
        ),
        ("order.items.all(order, true)", 16, "`order` is taken"),
        ("order.items.all(1, true)", 17, "wants a name"),
        ("order.items.all(i)", 16, "is written"),
        ("order.items.sum(i, i.name) == 1", 21, "wants a number"),
        ("order.items.map(i, i.price) == 1", 16, ".sum()"),
        ("order.delivery.all(i, true)", 19, "lists only: order.items"),
        ("order.sm_id == ", 15, "ends too early"),
        ("order.sm_id == 9 9", 18, "mistake"),
        ("order.sm_id = 99", 13, "mistake"),
        ("order.sm_id == 9223372036854775808", 16, "invalid int"),
        ("", 1, "empty"),
        ("  ", 1, "empty"),
    ];
    for (rule, column, message) in cases {
        let found = mistakes(&file(rule));
        // The rule begins behind `  rule: "`.
        assert_eq!((found.len(), found[0].0), (1, 4), "{rule}: {found:?}");
        assert!(found[0].2.contains(message), "{rule}: {found:?}");
        let begin = if rule.trim().is_empty() { 8 } else { 9 };
        assert_eq!(found[0].1, begin + column, "{rule}: {found:?}");
    }
}

#[test]
fn places_are_right_however_the_yaml_is_written() {
    let with = |rule: &str| {
        format!("# Комментарий\n- id: a\n  message: Сообщение.\n  field: order\n  rule: {rule}\n")
    };
    let cases = [
        ("order.nix == 1", 5, 14),
        ("'order.nix == 1'", 5, 15),
        ("\"order.nix == 1\"", 5, 15),
        ("'order.entry == ''ы'' && order.nix == 1'", 5, 39),
        ("\"order.entry == \\\"ы\\\" && order.nix == 1\"", 5, 39),
        ("order.entry == 'ы'\n    && order.nix == 1", 6, 13),
        ("|\n    order.entry == 'ы' &&\n      order.nix == 1", 7, 12),
        (">-\n    order.entry == 'ы' &&\n    order.nix == 1", 7, 10),
        ("|\n    'a' == order.nix", 6, 17),
        ("order.entry == 'ы' &&", 5, 30),
        (
            "|\n    order.entry == 'ы' &&\n    (order.locale == 'en'",
            7,
            26,
        ),
    ];
    for (rule, line, column) in cases {
        let text = with(rule);
        let found = mistakes(&text);
        assert_eq!((found[0].0, found[0].1), (line, column), "{text}{found:?}");
    }
}

#[test]
fn a_file_with_a_mistake_is_refused_with_all_its_mistakes() {
    let good = file("true");
    let cases = [
        ("", 1, "write []"),
        ("# nothing\n", 1, "write []"),
        ("rules: []", 1, "YAML"),
        ("- 5", 1, "YAML"),
        ("- id: a\n", 1, "missing"),
        ("- id: a\n  id: b\n", 2, "duplicate"),
        ("- id: a\n  nix: b\n", 2, "nix"),
        ("- [", 1, "YAML"),
        ("- id: a\n  rule: a ? b : c\n", 2, "mapping values"),
        ("- id: &a b\n  message: *a\n", 2, "YAML"),
        ("\0", 1, "YAML"),
        (&good.replace("id: a", "id: A b"), 1, "An id has"),
        (&good.replace("Some message.", "''"), 2, "A message has"),
        (
            &good.replace("Some message.", "\"\\0\""),
            2,
            "A message has",
        ),
        (&good.replace("field: order", "field: nix"), 3, "no field"),
        (&format!("{good}{good}"), 5, "already has the id"),
    ];
    for (text, line, message) in cases {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text} {found:?}");
        assert!(
            found[0].0 == line && found[0].2.contains(message),
            "{text} {found:?}"
        );
    }
    let three = "- id: A\n  message: ''\n  field: nix\n  rule: nix\n- id: b\n  message: m\n  field: order\n  rule: 1\n";
    let lines: Vec<_> = mistakes(three).into_iter().map(|(line, ..)| line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 8]);
    let error = Rules::compile(three, orders()).unwrap_err().to_string();
    assert!(
        error.contains("line 8, column 9: It must be true or false"),
        "{error}"
    );
}

#[test]
fn strict_rules_accept_the_model_and_reject_what_they_speak_of() {
    let rules = Rules::compile(STRICT, orders()).unwrap();
    assert_eq!(rules.len(), 6);
    let check = |message: &str| match rules.check(orders(), &parse(message.as_bytes()).unwrap()) {
        Ok(()) => Vec::new(),
        Err(rejection) => {
            assert_eq!(rejection.reason(), Reason::Rule);
            assert!(rejection.key().is_some());
            let strip = |v: &Violation| (v.rule.clone().unwrap(), v.pointer.clone());
            rejection.violations().iter().map(strip).collect()
        }
    };
    assert_eq!(check(EXAMPLE), []);
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let cases: &[Case<'_>] = &[
        ("1817", "1818", &[("amount_adds_up", "/payment/amount")]),
        (
            "\"goods_total\": 317",
            "\"goods_total\": 318",
            &[
                ("amount_adds_up", "/payment/amount"),
                ("goods_add_up", "/payment/goods_total"),
            ],
        ),
        (
            "\"total_price\": 317",
            "\"total_price\": 0",
            &[("goods_add_up", "/payment/goods_total")],
        ),
        (
            "b563feb7b2b84b6test",
            "another",
            &[("transaction_is_the_order", "/payment/transaction")],
        ),
        ("WBILMTESTTRACK", "another", &[("one_parcel", "/items")]),
        (
            "+9720000000",
            "972 00",
            &[("phone_is_e164", "/delivery/phone")],
        ),
        (
            "+9720000000",
            "+0123",
            &[("phone_is_e164", "/delivery/phone")],
        ),
        (
            "+9720000000",
            "+1234567890123456",
            &[("phone_is_e164", "/delivery/phone")],
        ),
        (
            "test@gmail.com",
            "test@gmail",
            &[("email_looks_right", "/delivery/email")],
        ),
        (
            "test@gmail.com",
            "",
            &[("email_looks_right", "/delivery/email")],
        ),
        (
            "\"custom_fee\": 0",
            "\"custom_fee\": 9223372036854775807",
            &[("amount_adds_up", "/payment/amount")],
        ),
    ];
    for (from, to, expected) in cases {
        let found = check(&EXAMPLE.replacen(from, to, 1));
        let found: Vec<_> = found
            .iter()
            .map(|(id, pointer)| (id.as_str(), pointer.as_str()))
            .collect();
        assert_eq!(found, *expected, "{from} -> {to}");
    }
}

#[test]
fn rules_are_known_by_their_text() {
    let rules = Rules::compile(STRICT, orders()).unwrap();
    assert_eq!(rules.text(), STRICT);
    assert_eq!(
        (rules.hash().len(), rules.hash()),
        (64, rules.clone().hash())
    );
    assert_eq!(rules.ids().next(), Some("amount_adds_up"));
    let none = Rules::none();
    assert!(
        none.is_empty()
            && none
                .check(orders(), &parse(EXAMPLE.as_bytes()).unwrap())
                .is_ok()
    );
    assert_eq!(
        Rules::compile(none.text(), orders()).unwrap().hash(),
        none.hash()
    );
    let is_shared: fn(Rules) -> Box<dyn Send + Sync> = |rules| Box::new(rules);
    drop(is_shared(none));
}

#[test]
fn what_the_manual_shows_is_so() {
    let manual = include_str!("../../docs/rules.md");
    let yaml = manual
        .split("```yaml")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert_eq!(Rules::compile(yaml, orders()).unwrap().len(), 2);
    let mut shown = 0;
    for row in manual.lines().filter_map(|line| line.strip_prefix("| `")) {
        let expression = row.split("` |").next().unwrap().replace("\\|", "|");
        if !expression.contains("order") {
            continue;
        }
        shown += 1;
        match run(&expression, EXAMPLE) {
            Ok(_) => {}
            Err(message) => assert!(
                message.ends_with("but this is a number."),
                "{expression}: {message}"
            ),
        }
    }
    assert!(shown > 15, "{shown}");
}
