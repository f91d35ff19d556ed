-- | One connection of a server, as its thread sees it: reading, writing, and closing without losing a reply.
module Connection
  ( Connection (..)
  , Server (..)
  , Cut (..)
  , Without (..)
  , Next (..)
  , reasonOf
  , receive
  , nextRequest
  , send
  , requested
  , ended
  , discarding
  , linger
  )
where

import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad (unless, when)
import Counts
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Builder as Builder
import qualified Data.ByteString.Lazy as L
import Data.Functor (($>))
import Data.IORef
import qualified Data.Set as Set
import Network.Socket
import qualified Network.Socket.ByteString as Socket
import Options (ServerOptions (..))
import Shared (bytesPerRead, timed)

-- | What the connections of a server share.
data Server = Server
  { options :: ServerOptions
  , say :: String -> IO ()
  , -- | Says that a request was refused, ten times a second at most (S22).
    sayRefused :: String -> IO ()
  , counts :: Counts
  , open :: TVar (Set.Set ThreadId)
  , stopping :: TVar Bool
  }

data Connection = Connection
  { wire :: Socket
  , peer :: SockAddr
  , shared :: Server
  , -- | Requests that have begun and not ended. Only the connection's own thread uses it.
    owed :: IORef Int
  }

-- | Thrown to the thread of a connection that is not done when the grace is over (S21). An asynchronous exception: it
-- arrives wherever the thread waits, and @bracket@ cleans up behind it.
data Cut = Cut deriving (Show)

instance Exception Cut where
  toException = asyncExceptionToException
  fromException = asyncExceptionFromException

-- | The peer took no byte for the write timeout (S18).
data TookNothing = TookNothing deriving (Show)

instance Exception TookNothing

-- | Ends a connection that is owed a poem, with a reset (S9).
newtype Without = Without End

instance Show Without where
  show _ = "a connection ended without a poem"

instance Exception Without

-- | Why a connection ends whose thread was ended by an exception.
reasonOf :: SomeException -> End
reasonOf problem
  | Just Cut <- fromException problem = WasCut
  | Just TookNothing <- fromException problem = WriteTimeout
  | Just (Without why) <- fromException problem = why
  | Just lost <- fromException problem = const Reset (lost :: IOException)
  | otherwise = Panic

count :: Connection -> [(Count, Int)] -> IO ()
count connection = atomically . note (counts (shared connection))

-- | Counts a request that has begun, and requests that have ended.
requested :: Connection -> IO ()
requested connection = modifyIORef' (owed connection) (+ 1) >> count connection [(Requests, 1)]

ended :: Connection -> Count -> Int -> IO ()
ended connection how requests =
  when (requests > 0) $ modifyIORef' (owed connection) (subtract requests) >> count connection [(how, requests)]

-- | Bytes of a peer; no bytes are its FIN. The buffer is allocated when there is something to read, so a connection that
-- waits has none.
receive :: Connection -> IO ByteString
receive connection = withFdSocket (wire connection) (threadWaitRead . fromIntegral) >> readNow connection

readNow :: Connection -> IO ByteString
readNow connection = do
  bytes <- Socket.recv (wire connection) bytesPerRead
  bytes <$ count connection [(BytesIn, B.length bytes)]

-- | What comes first on a connection that is between two requests.
data Next = Bytes ByteString | Idle | Stopped

-- ANCHOR: next_request
-- | Waits for bytes, the stop of the server and the idle timeout at once. STM composes waits that were not made for each
-- other: 'threadWaitReadSTM' turns "the socket is readable" into a transaction, like any variable.
nextRequest :: Connection -> IO Next
nextRequest connection = do
  first <- bracket register snd $ \(readable, _) ->
    timed (idleTimeout (options server)) . atomically $
      (readable $> True) `orElse` ((readTVar (stopping server) >>= check) $> False)
  case first of
    Nothing -> pure Idle
    Just False -> pure Stopped
    Just True -> Bytes <$> readNow connection
  where
    server = shared connection
    register = withFdSocket (wire connection) (threadWaitReadSTM . fromIntegral)
-- ANCHOR_END: next_request

-- | Sends everything. The peer may take no byte for the write timeout at most; each byte that it takes starts that anew.
send :: Connection -> Builder.Builder -> IO ()
send connection = mapM_ sendChunk . L.toChunks . Builder.toLazyByteString
  where
    sendChunk bytes = unless (B.null bytes) $ do
      taken <- timed (writeTimeout (options (shared connection))) (Socket.send (wire connection) bytes)
      n <- maybe (throwIO TookNothing) pure taken
      count connection [(BytesOut, n)]
      sendChunk (B.drop n bytes)

-- | Runs @work@ while a second thread discards what the client sends. That thread ends with the client's FIN; a reset ends
-- both.
discarding :: Connection -> IO a -> IO a
discarding connection work = do
  me <- myThreadId
  let discard = receive connection >>= \bytes -> unless (B.null bytes) discard
      lost problem = throwTo me (problem :: IOException)
  bracket (forkIO (discard `catch` lost)) killThread (const work)

-- | Closes without losing what was sent (S7): sends FIN, then discards input until the peer's FIN, for 2 s and a million
-- bytes at most. Nothing is owed from here on, so that a cut needs no reset.
linger :: Connection -> End -> IO End
linger connection reason = (finish $> reason) `catches` [Handler (\Cut -> pure WasCut), Handler lost]
  where
    finish = shutdown (wire connection) ShutdownSend >> timed 2 (discard (1000000 :: Int))
    discard left = when (left > 0) $ do
      bytes <- receive connection
      unless (B.null bytes) (discard (left - B.length bytes))
    lost problem = const (pure reason) (problem :: IOException)
