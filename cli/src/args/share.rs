//! Shares of requests or clients in arguments: `1%`, `burn=1%`.

use std::str::FromStr;

use poetry::transform::TRANSFORMS;

/// A share above 0 and at most 1, as users write it: `1%` or `0.01`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(number) => (number, 0.01),
            None => (text, 1.0),
        };
        match number.parse::<f64>().map(|number| number * unit) {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(Self(share)),
            _ => Err("write a share such as 1% or 0.01".to_owned()),
        }
    }
}

/// A transform, and the share of requests that ask for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixShare {
    pub(crate) transform: String,
    pub(crate) share: f64,
}

impl FromStr for MixShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write a transform and its share, such as burn=1%".to_owned();
        let (name, share) = text.split_once('=').ok_or_else(form)?;
        let Share(share) = share.parse().map_err(|_| form())?;
        if !TRANSFORMS.iter().any(|transform| transform.name == name) {
            return Err(format!("there is no transform {name}"));
        }
        if share >= 1.0 {
            return Err(
                "the share must be below 100%; for all requests use --transform".to_owned(),
            );
        }
        Ok(Self {
            transform: name.to_owned(),
            share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_parts_of_one() {
        let share = |text: &str| text.parse::<Share>().map(|share| share.0).ok();
        assert_eq!([share("1%"), share("0.01")], [Some(0.01); 2]);
        assert_eq!(share("100%"), Some(1.0));
        for text in ["0", "101%", "-1%", "%", "half", "nan", ""] {
            assert_eq!(share(text), None, "{text}");
        }
    }

    #[test]
    fn a_mix_names_a_transform_and_its_share() {
        let mix = "burn=1%".parse::<MixShare>().unwrap();
        assert_eq!((mix.transform.as_str(), mix.share), ("burn", 0.01));
        let error = |text: &str| text.parse::<MixShare>().unwrap_err();
        assert!(error("burn").contains("such as burn=1%"));
        assert!(error("sing=1%").contains("no transform sing"));
        assert!(error("burn=100%").contains("--transform"));
    }
}
