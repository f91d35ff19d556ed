-- | The poem server (S1): each connection is sent the poem, at once or slowly, and then FIN.
module PoemServer (servePoem, quickly) where

import Connection
import Control.Concurrent (threadDelay)
import Control.Monad (when)
import Counts (Count (Answered), End (Done))
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Builder as Builder
import GHC.Clock (getMonotonicTime)
import Options (Options (..))
import Server (serve)
import System.Exit (ExitCode)

servePoem :: Options -> FilePath -> ByteString -> (String -> IO ()) -> IO ExitCode
servePoem options path poem say = serve (server options) say (filter (/= '\n') path) $ \connection -> do
  requested connection
  discarding connection (if fast options then quickly poem connection else slowly options poem connection)
  linger connection Done

quickly :: ByteString -> Connection -> IO ()
quickly poem connection = send connection (Builder.byteString poem) >> ended connection Answered 1

-- | Sends chunk k when k delays have passed since the beginning, so that lateness does not accumulate, and returns one delay
-- after the last chunk. A chunk is a view of the poem: 'B.splitAt' copies nothing.
slowly :: Options -> ByteString -> Connection -> IO ()
slowly options poem connection = do
  began <- getMonotonicTime
  let waitFor k = do
        now <- getMonotonicTime
        let left = began + fromIntegral (k :: Int) * delay options - now
        when (left > 0) $ threadDelay (ceiling (left * 1000000))
      go k unsent
        | B.null unsent = ended connection Answered 1 >> waitFor k
        | otherwise = do
          let (chunk, rest) = B.splitAt (numBytes options) unsent
          waitFor k
          send connection (Builder.byteString chunk)
          go (k + 1) rest
  go 0 poem
