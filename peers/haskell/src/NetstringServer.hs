{-# LANGUAGE LambdaCase #-}

-- | The requests of one connection, for the servers that answer netstrings: the loop of transform and library server.
module NetstringServer (Answer, answerRequests) where

import Connection
import Control.Concurrent (yield)
import Control.Concurrent.STM (readTVarIO)
import Control.Exception
import Counts (Count (..), End (..), Refusal (Framing, Truncated))
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Builder as Builder
import Netstring (Netstring (..), netstring)
import Options (ServerOptions (..))
import Shared (timed)

-- | A reply, or why there is none.
type Answer = Either (Refusal, String) Builder.Builder

-- | Requests that a connection may be answered before all other threads that are ready run (S24).
requestsPerTurn :: Int
requestsPerTurn = 64

-- | Answers one request, or with @--keep-alive@ all of them, in order (S5). The replies to one read leave together: they
-- are a 'Builder.Builder', which is to bytes what a lazy list is to its items.
answerRequests :: (ByteString -> IO Answer) -> Connection -> IO End
answerRequests answer connection = between
  where
    Server {options = limits, say = report, sayRefused = reportRefused, stopping = stop} = shared connection
    decode = netstring (frameBytesMax limits)

    -- A client may be sending after its last reply, so that its connection lingers. One that waits is closed at once.
    between = readTVarIO stop >>= \case
      True -> linger connection Done
      False -> nextRequest connection >>= \case
        Bytes bytes | B.null bytes -> linger connection Done
        Bytes bytes -> go 0 mempty (decode bytes)
        Idle -> pure IdleTooLong
        Stopped -> pure Done

    -- So many replies have not been sent yet.
    go unsent replies = \case
      Frame request rest -> requested connection >> tryAnswer request >>= \case
        Left panic -> do
          report (show (peer connection) <> ": a handler panicked: " <> takeWhile (/= '\n') (show panic))
          deliver unsent replies >> linger connection Panic
        Right (Left refusal) -> refuse unsent replies refusal
        Right (Right reply)
          | not (keepAlive limits) -> deliver 1 reply >> linger connection Done
          | B.null rest -> deliver (unsent + 1) (replies <> reply) >> between
          | unsent + 1 < requestsPerTurn -> go (unsent + 1) (replies <> reply) (decode rest)
          | otherwise -> deliver (unsent + 1) (replies <> reply) >> yield >> go 0 mempty (decode rest)
      Wrong why -> requested connection >> refuse unsent replies (Framing, "framing error: " <> why)
      More more -> do
        deliver unsent replies
        -- The deadline counts from the first byte of the request, and no byte behind it extends it (S18).
        timed (deadline limits) (complete more) >>= \case
          Nothing -> pure DeadlineOver
          Just Nothing -> requested connection >> refuse 0 mempty (Truncated, "the peer closed in the middle of a request")
          Just (Just whole) -> go 0 mempty whole

    complete more = receive connection >>= \case
      bytes | B.null bytes -> pure Nothing
      bytes -> case more bytes of
        More further -> complete further
        whole -> pure (Just whole)

    deliver unsent replies = send connection replies >> ended connection Answered unsent

    -- Requests before a refused one get their replies; then the connection closes without one (S4).
    refuse unsent replies (refusal, why) = do
      reportRefused ("refused a request of " <> show (peer connection) <> ": " <> why)
      ended connection (Refused refusal) 1
      deliver unsent replies >> linger connection RefusedOne

    -- Whatever an answer does wrong costs its connection only (S20). A cut, which another thread throws, passes through.
    tryAnswer request = try (answer request) >>= \case
      Left panic | Just (SomeAsyncException _) <- fromException panic -> throwIO panic
      outcome -> pure (outcome :: Either SomeException Answer)
