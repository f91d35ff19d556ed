{-# LANGUAGE LambdaCase #-}

-- | The client: fetches all poems at once, each in a thread of its own, and has each transformed as soon as it has arrived.
module PoemClient (fetch) where

import Control.Concurrent
import Control.Exception
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Either (rights)
import Data.Foldable (for_)
import Data.Traversable (for)
import Options (ClientOptions)
import Peer
import System.Exit (ExitCode (..))
import System.IO (hFlush, stdout)
import TransformClient (transform)

-- | Fetches and prints the poems, in the order of the peers. The status is 0 if all have arrived.
fetch :: ClientOptions -> (String -> IO ()) -> Maybe (Peer, String) -> [Peer] -> IO ExitCode
fetch limits say via peers = do
  -- ANCHOR: fetch_all
  fetches <- for (zip [1 ..] peers) $ \(task, peer) -> do
    outcome <- newEmptyMVar
    thread <- forkFinally (getPoem limits say via task peer) (putMVar outcome)
    pure (thread, outcome)
  -- An 'MVar' is where a thread leaves its result. All fetches go on while this thread waits for one of them. Ctrl-C is an
  -- exception that the runtime throws to this thread, which cancels those that have not ended.
  interrupted <- (False <$ for_ fetches (readMVar . snd)) `catch` \case
    UserInterrupt -> True <$ for_ fetches (killThread . fst)
    other -> throwIO other
  poems <- rights <$> mapM (readMVar . snd) fetches
  -- ANCHOR_END: fetch_all
  mapM_ B.putStr poems
  hFlush stdout
  say ("Got " <> show (length poems) <> " of " <> show (length peers) <> " poems")
  pure $ case () of
    _ | interrupted -> ExitFailure 130
    _ | length poems < length peers -> ExitFailure 1
    _ -> ExitSuccess

-- ANCHOR: get_poem
-- | Fetches a poem and says how that goes. This thread may be killed anywhere: 'withAddress' then closes the socket.
getPoem :: ClientOptions -> (String -> IO ()) -> Maybe (Peer, String) -> Int -> Peer -> IO ByteString
getPoem limits say via task peer = do
  poem <- getPoetry limits got (resolved peer) `onFailure` \failure -> tell (" failed: " <> show peer <> ": " <> failure)
  tell " finished"
  maybe (pure poem) (transformed poem) via
  where
    got bytes = tell (": got " <> show bytes <> " bytes of poetry from " <> show peer)
    tell words' = say ("Task " <> show task <> words')
    action `onFailure` report = action `catch` \failure -> report (show (failure :: Failure)) >> throwIO failure
    -- The original is kept if the transform fails.
    transformed poem (server, name) = transform limits server name poem `catch` \failure ->
      poem <$ tell (": not transformed, the original is kept: " <> show server <> ": " <> show (failure :: Failure))
-- ANCHOR_END: get_poem
