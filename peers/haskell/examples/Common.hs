-- | Shared by the steps: their arguments, and a connection as a handle.
module Common (Peer, peers, connected) where

import Control.Exception (bracketOnError)
import Network.Socket
import Peer (Peer (..), parsePeer)
import System.Environment (getArgs)
import System.Exit (die)
import System.IO

-- | The peers on the command line. Each line of output shows at once.
peers :: IO [Peer]
peers = do
  hSetBuffering stdout LineBuffering
  mapM_ (`hSetEncoding` utf8) [stdout, stderr]
  words' <- getArgs
  case mapM parsePeer words' of
    Just (one : others) -> pure (one : others)
    _ -> die "give the addresses of poems, [host:]port"

-- | Connects, and makes the socket a handle: what @hGetContents@ reads from.
connected :: Peer -> IO Handle
connected (Peer name port) = do
  address : _ <- getAddrInfo (Just defaultHints {addrSocketType = Stream}) (Just name) (Just (show port))
  bracketOnError (openSocket address) close $ \socket -> do
    connect socket (addrAddress address)
    handle <- socketToHandle socket ReadWriteMode
    handle <$ hSetEncoding handle utf8
