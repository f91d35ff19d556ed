-- | Netstrings (S2), decoded as the bytes come.
--
-- The decoder is a pure function, and its state is a function too: the one that takes the bytes to come. In Rust
-- (poetry/src/netstring.rs) the state is a struct with a field for each thing that these functions remember.
module Netstring (Netstring (..), netstring, framed) where

import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Builder as Builder

-- | What is known after some bytes.
data Netstring
  = -- | The payload, and the bytes behind the netstring.
    Frame ByteString ByteString
  | -- | No bytes are wrong, and more are needed.
    More (ByteString -> Netstring)
  | -- | The first byte that cannot belong to a netstring.
    Wrong String

-- ANCHOR: netstring
-- | Decodes a netstring of at most @limit@ bytes from its first bytes.
netstring :: Int -> ByteString -> Netstring
netstring limit = size (0 :: Int) 0
  where
    size digits value bytes = case B.uncons bytes of
      Nothing -> More (size digits value)
      Just (58, rest) | digits > 0 -> payload value [] rest
      Just (byte, rest)
        | byte < 48 || byte > 57 -> Wrong "a byte that is no digit in the length"
        | digits > 0 && value == 0 -> Wrong "a leading zero in the length"
        | longer > limit -> Wrong ("a length over the limit of " <> show limit)
        | otherwise -> size (digits + 1) longer rest
        where
          longer = value * 10 + fromIntegral byte - 48

    -- The parts come in reverse, and are joined once, when the last has come.
    payload missing parts bytes
      | B.length bytes < missing = More (payload (missing - B.length bytes) (bytes : parts))
      | otherwise = comma (B.concat (reverse (end : parts))) rest
      where
        (end, rest) = B.splitAt missing bytes

    comma whole bytes = case B.uncons bytes of
      Nothing -> More (comma whole)
      Just (44, rest) -> Frame whole rest
      Just _ -> Wrong "no comma behind the payload"
-- ANCHOR_END: netstring

-- | The bytes of a netstring. A long payload is not copied.
framed :: ByteString -> Builder.Builder
framed payload =
  Builder.intDec (B.length payload) <> Builder.char7 ':' <> Builder.byteString payload <> Builder.char7 ','
