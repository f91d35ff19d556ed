-- | What servers and clients share.
module Shared (bytesPerRead, ignored, noDelay, shownError, timed) where

import Control.Exception (IOException, try)
import Control.Monad (void)
import GHC.IO.Exception (IOException (..))
import Network.Socket (Socket, SocketOption (NoDelay), setSocketOption)
import System.Timeout (timeout)

-- | The size of a read, as in our Rust.
bytesPerRead :: Int
bytesPerRead = 65536

-- | Sends small replies at once. The peer may have gone already, which the next call on the socket reports.
noDelay :: Socket -> IO ()
noDelay socket = ignored (setSocketOption socket NoDelay 1)

-- | Runs an action whose failure changes nothing, such as writing to a stdout that is closed (S22).
ignored :: IO () -> IO ()
ignored action = void (try action :: IO (Either IOException ()))

-- | What the system says, without the place in our program.
shownError :: IOException -> String
shownError = ioe_description

-- ANCHOR: timed
-- | 'timeout' in seconds. It throws an asynchronous exception to the thread that runs the action, which works for any action
-- that waits, and needs nothing of it.
timed :: Double -> IO a -> IO (Maybe a)
timed seconds = timeout (round (seconds * 1000000))
-- ANCHOR_END: timed
