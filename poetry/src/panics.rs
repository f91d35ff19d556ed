//! A panic in a handler costs one connection and nothing else (S20): it is caught, its message kept, and said once.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `handler`; a panic in it becomes an `Err` with its message.
///
/// The caller says it further, once: as an event, and as an error of that connection. What the handler had
/// borrowed must be fit for use, or thrown away, after it unwound half way.
///
/// # Errors
/// The panic's message.
#[inline]
pub fn contain<T>(handler: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(handler));
    CONTAINED.set(outer);
    result.map_err(|payload| message(&*payload))
}

/// The words a panic was raised with.
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// Keeps the standard hook from printing a panic that [`contain`] will report; every other panic is printed as
/// before. Programs call it once at start; libraries do not.
pub fn silence_contained() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                previous(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s20_a_contained_panic_is_its_message() {
        silence_contained();
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(
            contain(|| panic!("no {}", 1)),
            Err::<(), _>("no 1".to_owned())
        );
        assert_eq!(
            contain(|| panic!("plain")),
            Err::<(), _>("plain".to_owned())
        );
        let odd = contain(|| std::panic::panic_any(5_u8));
        assert_eq!(odd, Err::<(), _>("a panic without a message".to_owned()));
    }

    #[test]
    fn containing_nests() {
        silence_contained();
        let inner = contain(|| {
            assert!(contain(|| panic!("inner")).is_err());
            assert!(CONTAINED.get());
        });
        assert_eq!((inner, CONTAINED.get()), (Ok(()), false));
    }
}
