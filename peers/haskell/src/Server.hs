{-# LANGUAGE LambdaCase #-}

-- | Accepting and stopping, for every server. A connection is a thread of the runtime, not of the kernel: it costs some
-- kilobytes, and where it waits for a socket, the runtime waits for all of them in its own event loop (epoll).
module Server (serve) where

import Connection
import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad (forever, void, when)
import Counts
import Data.Foldable (for_)
import Data.IORef
import qualified Data.Set as Set
import Log (throttled)
import Network.Socket
import Options (ServerOptions (..), usageError)
import Shared (ignored, noDelay, shownError, timed)
import System.Exit (ExitCode (..))
import System.IO (hFlush, stdout)
import System.Posix.Resource
import System.Posix.Signals (Handler (Catch), installHandler, sigINT, sigTERM, sigUSR1)

-- | Serves each connection with @handler@, which returns why it ended, until a signal stops the server. Returns the status
-- to exit with.
serve :: ServerOptions -> (String -> IO ()) -> String -> (Connection -> IO End) -> IO ExitCode
serve settings report what handler = do
  raiseDescriptorLimit
  setNumCapabilities (threads settings)
  refused <- throttled 10 report
  server <- Server settings report refused <$> newCounts <*> newTVarIO Set.empty <*> newTVarIO False
  signals <- newTVarIO (0 :: Int)
  for_ [sigTERM, sigINT] $ \signal -> installHandler signal (Catch (atomically (modifyTVar' signals (+ 1)))) Nothing
  void (installHandler sigUSR1 (Catch (writeCounts server)) Nothing)
  listener <- listenOn settings
  address <- getSocketName listener
  ignored $ putStrLn ("Serving " <> what <> " on " <> show address <> " with haskell") >> hFlush stdout
  acceptor <- forkIO (acceptAll server listener handler)
  atomically (readTVar signals >>= check . (> 0))
  killThread acceptor
  close listener
  status <- stop server signals
  status <$ writeCounts server

-- | Appends the counts to the file of @--stats@, or says them.
writeCounts :: Server -> IO ()
writeCounts server = do
  line <- asJson <$> readTVarIO (counts server)
  case stats (options server) of
    Just file -> appendFile file (line <> "\n") `catch` (say server . shownError)
    Nothing -> say server line

-- | Binds and listens, or ends the program.
listenOn :: ServerOptions -> IO Socket
listenOn settings = bound `catch` \problem -> usageError ("cannot listen: " <> shownError problem)
  where
    bound = do
      address : _ <- getAddrInfo (Just hints) (Just (iface settings)) (Just (show (port settings)))
      listener <- openSocket address
      setSocketOption listener ReuseAddr 1
      bind listener (addrAddress address)
      listener <$ listen listener 4096
    hints = defaultHints {addrFlags = [AI_PASSIVE], addrSocketType = Stream}

-- | Accepts until this thread is killed. Exceptions are masked, so that a socket that has been accepted always gets its
-- thread; where this thread waits, for a connection or for room (S16), they arrive nevertheless.
acceptAll :: Server -> Socket -> (Connection -> IO End) -> IO ()
acceptAll server listener handler = do
  troubled <- throttled 1 (say server)
  mask_ . forever $ do
    atomically (readTVar (open server) >>= check . (< connectionsMax (options server)) . Set.size)
    try (accept listener) >>= \case
      Right (accepted, from) -> noDelay accepted >> newIORef 0 >>= start . Connection accepted from server
      -- Out of descriptors, most likely: one may be free soon (S17).
      Left problem -> troubled ("cannot accept, trying again: " <> shownError problem) >> threadDelay 100000
  where
    start connection = do
      thread <- forkIOWithUnmask $ \unmask -> try (unmask (handler connection)) >>= end connection
      atomically $ modifyTVar' (open server) (Set.insert thread) >> note (counts server) [(Accepted, 1)]

-- | Closes a connection whose thread ends. If the peer is owed something, it gets a reset: FIN would make a part of a poem
-- look complete (S21).
end :: Connection -> Either SomeException End -> IO ()
end connection outcome = do
  let server = shared connection
      ended = either reasonOf id outcome
  for_ (either Just (const Nothing) outcome) $ \problem -> do
    ignored (setSockOpt (wire connection) Linger (StructLinger 1 0))
    when (ended == Panic) $ say server (show (peer connection) <> ": a handler panicked: " <> show problem)
  ignored (close (wire connection))
  owed' <- readIORef (owed connection)
  me <- myThreadId
  atomically $ do
    connections <- readTVar (open server)
    check (Set.member me connections) -- The acceptor may not have noted this thread yet.
    writeTVar (open server) $! Set.delete me connections
    note (counts server) [(Closed ended, 1), (Failed, owed')]

-- ANCHOR: stop
-- | Gives the connections the grace, and cuts those that are left. A second signal ends the program at once.
stop :: Server -> TVar Int -> IO ExitCode
stop server signals = do
  some <- atomically $ writeTVar (stopping server) True >> not . Set.null <$> readTVar (open server)
  let none = readTVar (open server) >>= check . Set.null
      again = readTVar signals >>= check . (> 1)
      status failed = if failed then ExitFailure 1 else ExitSuccess
  timed (grace (options server)) (atomically ((Right <$> none) `orElse` (Left <$> again))) >>= \case
    Just (Right ()) -> pure ExitSuccess
    Just (Left ()) -> pure (status some)
    Nothing -> do
      left <- readTVarIO (open server)
      for_ left (`throwTo` Cut)
      atomically none
      pure (status (not (Set.null left)))
-- ANCHOR_END: stop

-- | Raises the soft limit on descriptors to the hard one (S17).
raiseDescriptorLimit :: IO ()
raiseDescriptorLimit = do
  limits <- getResourceLimit ResourceOpenFiles
  setResourceLimit ResourceOpenFiles limits {softLimit = hardLimit limits}
