//! Contains panics: one in a handler costs its connection and nothing else (S20).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `handler` and turns a panic in it into an `Err` with its message.
///
/// The caller reports the panic once, as an event, and closes the connection. Values that the handler has borrowed must
/// stay valid if it unwinds half way, or be discarded.
///
/// # Errors
/// Returns the panic's message.
#[inline]
pub fn contain<T>(handler: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(handler));
    CONTAINED.set(outer);
    result.map_err(|payload| message(&*payload))
}

/// Returns the message of a panic's payload.
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// Stops the panic hook from printing panics that [`contain`] catches; other panics are printed as before. Programs call
/// this once at start; libraries do not.
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
    fn s20_a_contained_panic_becomes_its_message() {
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
        let no_text = contain(|| std::panic::panic_any(5_u8));
        assert_eq!(
            no_text,
            Err::<(), _>("a panic without a message".to_owned())
        );
    }

    #[test]
    fn contained_handlers_may_nest() {
        silence_contained();
        let inner = contain(|| {
            assert!(contain(|| panic!("inner")).is_err());
            assert!(CONTAINED.get());
        });
        assert_eq!((inner, CONTAINED.get()), (Ok(()), false));
    }
}
