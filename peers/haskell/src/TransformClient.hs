-- | The transform client (S13). The reply is decoded out of the lazy list of what the server sends, by a pure function that
-- knows of no socket.
module TransformClient (transform) where

import Control.Exception (catch, evaluate, throw, throwIO)
import Control.Monad (when)
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Builder as Builder
import qualified Data.Text as T
import Data.Text.Encoding (decodeUtf8', encodeUtf8)
import Netstring (Netstring (..), framed, netstring)
import qualified Network.Socket.ByteString.Lazy as Lazy
import Options (ClientOptions (..))
import Peer
import Shared (shownError, timed)

-- | The poem as the server at @peer@ transforms it; fails with a 'Failure'.
transform :: ClientOptions -> Peer -> String -> ByteString -> IO ByteString
transform limits peer name poem = do
  when (B.length request > limit) $ throwIO (TooLong limit)
  withAddress limits (resolved peer) $ \socket -> do
    sent <- timed (silenceMax limits) (Lazy.sendAll socket (Builder.toLazyByteString (framed request)))
      `catch` (throwIO . ConnectionLost . shownError)
    when (sent == Nothing) $ throwIO (TimedOut "no data within the idle timeout")
    -- Strict from here: the reply must have been read when the socket closes.
    reply <- evaluate . decoded =<< contents limits socket
    either (const (throwIO NotUtf8)) (const (pure reply)) (decodeUtf8' reply)
  where
    request = encodeUtf8 (T.pack (name <> ".")) <> poem
    limit = 99999
    decoded [] = throw Refused
    decoded chunks = go (netstring limit) chunks
    go decode (chunk : chunks) = case decode chunk of
      Frame reply _ -> reply
      More more -> go more chunks
      Wrong why -> throw (Garbled why)
    go _ [] = throw CutShort
