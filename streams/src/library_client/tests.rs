//! The request for a named poem, in memory and on virtual time.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::testing::on_virtual_time;

#[test]
fn s8_the_request_is_the_name_in_a_netstring() {
    on_virtual_time(async {
        let (mut ours, mut theirs) = duplex(64);
        let name = "Der Erlkönig".parse().unwrap();
        ask(&mut ours, &name, &Limits::default()).await.unwrap();
        theirs.shutdown().await.unwrap();
        drop(ours);
        let mut wire = String::new();
        theirs.read_to_string(&mut wire).await.unwrap();
        assert_eq!(wire, "13:Der Erlkönig,");
    });
}
