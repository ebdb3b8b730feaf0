//! Figures as text that shows their size: a line of them, and a bar.

/// From the smallest to the largest.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Eighths of a block.
const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// One character a figure, from 0 to the largest of them; a figure that is not 0 is never shown as the lowest step unless all are
/// small. Negative ones count as 0.
pub fn sparkline(values: &[i64]) -> String {
    let most = i128::from(values.iter().copied().max().unwrap_or(0).max(0));
    let last = i128::try_from(STEPS.len() - 1).unwrap_or(0);
    let step = |value: &i64| {
        let value = i128::from((*value).max(0));
        // rounded up: something is more than nothing
        let at = (value * last + most - 1).checked_div(most).unwrap_or(0);
        usize::try_from(at).ok().and_then(|at| STEPS.get(at)).copied().unwrap_or('▁')
    };
    values.iter().map(step).collect()
}

/// A bar of at most `width` characters that is as long as `value` is of `whole`, to an eighth of a character.
pub fn bar(value: i64, whole: i64, width: usize) -> String {
    let (value, whole) = (i128::from(value.max(0)), i128::from(whole));
    let full = i128::try_from(width).unwrap_or(0) * 8;
    let eighths = (value.min(whole) * full).checked_div(whole).unwrap_or(0).max(0);
    let (blocks, rest) = (eighths / 8, eighths % 8);
    let part = usize::try_from(rest).ok().and_then(|at| PARTS.get(at)).copied().unwrap_or_default();
    "█".repeat(usize::try_from(blocks).unwrap_or(0)) + part
}

/// Basis points as percent with one digit after the point, cut off: `+12.3 %` when `signed`.
pub fn percent(basis_points: i64, signed: bool) -> String {
    let sign = match basis_points {
        n if n < 0 => "-",
        n if n > 0 && signed => "+",
        _ => "",
    };
    let tenths = basis_points.unsigned_abs() / 10;
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_figures_reaches_from_nothing_to_the_largest() {
        assert_eq!(sparkline(&[0, 1, 50, 100]), "▁▂▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[-5, i64::MAX]), "▁█");
    }

    #[test]
    fn a_bar_is_as_long_as_its_part_and_never_longer() {
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(99, 10, 4), "████");
        assert_eq!(bar(1, 2, 4), "██");
        assert_eq!(bar(1, 16, 4), "▎");
        assert_eq!(
            (bar(0, 10, 4), bar(1, 0, 4), bar(-1, 10, 4)),
            (String::new(), String::new(), String::new())
        );
        assert_eq!(bar(i64::MAX, i64::MAX, 2), "██");
    }

    #[test]
    fn percents_are_cut_off_and_signed_where_asked() {
        assert_eq!(
            (percent(6_000, false), percent(1_239, true)),
            ("60.0 %".to_owned(), "+12.3 %".to_owned())
        );
        assert_eq!((percent(-6_666, true), percent(0, true)), ("-66.6 %".to_owned(), "0.0 %".to_owned()));
        assert_eq!(percent(-5, true), "-0.0 %");
    }
}
