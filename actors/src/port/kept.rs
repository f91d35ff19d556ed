//! Bytes that a turn has read and not used (S24).

/// Bytes that were read and not used yet.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    used: usize,
}

impl Kept {
    /// Copies `bytes` out of the arbiter's read buffer.
    #[cold]
    pub(crate) fn new(bytes: &[u8]) -> Box<Self> {
        Box::new(Self {
            bytes: bytes.to_vec(),
            used: 0,
        })
    }

    /// Returns the unused bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    /// Marks all but the last `left` bytes as used.
    pub(crate) fn keep_last(&mut self, left: usize) {
        self.used = self.bytes.len() - left;
    }
}
