{-# LANGUAGE LambdaCase #-}

-- | The proxy (S9): serves the poem of another server, which it fetches once for all clients that wait.
--
-- A fetch is a thread, and its outcome a 'TMVar', for which any number of threads wait. A lazy value would be shared as well,
-- but it could not be cancelled when the last client leaves.
module Proxy (serveProxy) where

import Connection
import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad (unless, when)
import Counts
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import GHC.Clock (getMonotonicTime)
import Options
import Peer
import PoemServer (quickly)
import Server (serve)
import System.Exit (ExitCode)

-- | What the proxy has: nothing, the poem and when it arrived, or a fetch under way.
data Cache = NoPoem | Poem ByteString Double | UnderWay Fetch

data Fetch = Fetch
  { outcome :: TMVar (Maybe ByteString)
  , clients :: TVar Int
  , thread :: TMVar ThreadId
  }

serveProxy :: Options -> Peer -> (String -> IO ()) -> IO ExitCode
serveProxy options upstream say = do
  -- The name is resolved once, here.
  addresses <- resolved upstream `catch` \failure -> usageError (show upstream <> ": " <> show (failure :: Failure))
  cache <- newTVarIO NoPoem
  let fetch = getPoetry (client options) (const (pure ())) (pure addresses)
  serve (server options) say ("proxy of " <> show upstream) $ \connection -> do
    requested connection
    let failed why = sayRefused (shared connection) ("the fetch from " <> show upstream <> " failed: " <> why)
        joined = joinFetch cache (cacheTtl options) (counts (shared connection)) failed fetch
    poem <- bracket joined snd (await connection . fst)
    discarding connection (quickly poem connection)
    linger connection Done

-- ANCHOR: share_fetch
-- | Joins the fetch under way, or begins one, unless there is a poem. Returns how to wait for the poem and how to leave. It
-- is called with exceptions masked, by @bracket@, so that whoever has joined leaves.
joinFetch
  :: TVar Cache
  -> Maybe Double
  -> Counts
  -> (String -> IO ())
  -> IO ByteString
  -> IO (STM (Maybe ByteString), IO ())
joinFetch cache ttl total failed fetch = do
  now <- getMonotonicTime
  let fresh at = maybe True (\limit -> now - at < limit) ttl
  joined <- atomically $ readTVar cache >>= \case
    Poem poem at | fresh at -> pure (pure (Just poem), pure (), pure ())
    UnderWay running -> modifyTVar' (clients running) (+ 1) >> pure (waiting running (pure ()))
    _ -> do
      begun <- Fetch <$> newEmptyTMVar <*> newTVar 1 <*> newEmptyTMVar
      writeTVar cache (UnderWay begun)
      note total [(Begun, 1)]
      pure (waiting begun (begin begun))
  let (wait, leave, start) = joined
  (wait, leave) <$ start
  where
    waiting running start = (readTMVar (outcome running), leaveFetch cache total running, start)
    begin begun = do
      started <- forkIOWithUnmask $ \unmask -> try (unmask whole) >>= end begun
      atomically (putTMVar (thread begun) started)
    whole = do
      poem <- fetch
      poem <$ when (B.null poem) (throwIO Empty)
    end begun result = do
      now <- getMonotonicTime
      isCancelled <- atomically $ readTVar (clients begun) >>= \case
        0 -> pure True
        _ -> do
          writeTVar cache (either (const NoPoem) (`Poem` now) result)
          note total [(Fetched (either (const FetchFailed) (const Cached) result), 1)]
          False <$ putTMVar (outcome begun) (either (const Nothing) Just result)
      unless isCancelled $ either (failed . show) (const (pure ())) (result :: Either SomeException ByteString)
-- ANCHOR_END: share_fetch

-- ANCHOR: leave
-- | A client leaves. The last one that leaves a fetch under way cancels it, and returns when its connection is closed.
leaveFetch :: TVar Cache -> Counts -> Fetch -> IO ()
leaveFetch cache total fetch = do
  cancelled <- atomically $ do
    modifyTVar' (clients fetch) (subtract 1)
    left <- readTVar (clients fetch)
    underWay <- isEmptyTMVar (outcome fetch)
    let isLast = left == 0 && underWay
    isLast <$ when isLast (writeTVar cache NoPoem >> note total [(Fetched Cancelled, 1)])
  when cancelled $ atomically (readTMVar (thread fetch)) >>= killThread
-- ANCHOR_END: leave

-- | Waits for the poem, while a second thread discards what the client sends and notices that it leaves. A client that gets
-- no poem is reset.
await :: Connection -> STM (Maybe ByteString) -> IO ByteString
await connection poem = do
  gone <- newEmptyTMVarIO
  let watch = receive connection >>= \bytes -> if B.null bytes then pure () else watch
      wait = atomically ((Right <$> poem) `orElse` (Left <$> readTMVar gone))
  bracket (forkFinally watch (atomically . putTMVar gone)) killThread (const wait) >>= \case
    Right (Just arrived) -> pure arrived
    Right Nothing -> throwIO (Without UpstreamFailed)
    Left (Right ()) -> throwIO (Without HasLeft)
    Left (Left reset) -> throwIO reset
