-- | Lines on stderr that never stall the program (S22): a thread of its own writes them, and lines beyond a bound are
-- dropped and counted.
module Log (Log, openLog, flush, throttled) where

import Control.Concurrent (forkIO, modifyMVar, newMVar)
import Control.Concurrent.STM
import Control.Monad (forever, void, when)
import GHC.Clock (getMonotonicTime)
import Shared (ignored)
import System.IO (hPutStrLn, stderr)
import System.Timeout (timeout)

data Log = Log {queue :: TBQueue String, pending :: TVar Int, dropped :: TVar Int}

-- | The log, and the action that appends a line to it.
openLog :: IO (Log, String -> IO ())
openLog = do
  opened <- Log <$> newTBQueueIO 1000 <*> newTVarIO 0 <*> newTVarIO 0
  void . forkIO . forever $ do
    line <- atomically (readTBQueue (queue opened))
    missing <- atomically (swapTVar (dropped opened) 0)
    when (missing > 0) $ write (show missing <> " lines were dropped, since stderr did not take them")
    write line
    atomically (modifyTVar' (pending opened) (subtract 1))
  pure (opened, append opened)
  where
    write = ignored . hPutStrLn stderr

append :: Log -> String -> IO ()
append opened line = atomically $ do
  full <- isFullTBQueue (queue opened)
  if full
    then modifyTVar' (dropped opened) (+ 1)
    else writeTBQueue (queue opened) line >> modifyTVar' (pending opened) (+ 1)

-- | Waits a second at most until all lines have been written.
flush :: Log -> IO ()
flush opened = void (timeout 1000000 (atomically (readTVar (pending opened) >>= check . (== 0))))

-- | Lets @most@ lines a second through, and counts the others in the next line.
throttled :: Int -> (String -> IO ()) -> IO (String -> IO ())
throttled most say = do
  state <- newMVar (0 :: Int, 0)
  pure $ \line -> do
    now <- floor <$> getMonotonicTime
    said <- modifyMVar state $ \(second, count) ->
      pure $
        if now == second
          then ((second, count + 1), [line | count < most])
          else ((now, 1), [line <> concat [" (and " <> show (count - most) <> " lines like it)" | count > most]])
    mapM_ say said
