{-# LANGUAGE ScopedTypeVariables #-}

-- | A peer of a client: its address, a connection to it, and what it sends, as a lazy list.
module Peer (Peer (..), Failure (..), parsePeer, withPeer, contents, bounded) where

import Control.Exception
import Control.Monad (when)
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Network.Socket
import qualified Network.Socket.ByteString as Socket
import Shared (bytesPerRead, noDelay, shownError, timed)
import System.IO.Unsafe (unsafeInterleaveIO)
import Text.Read (readMaybe)

-- | @[host:]port@.
data Peer = Peer {host :: String, service :: Int}

instance Show Peer where
  show (Peer name port) = (if ':' `elem` name then "[" <> name <> "]" else name) <> ":" <> show port

-- | How a fetch fails (S11).
data Failure
  = ConnectionFailed String
  | ConnectionLost String
  | TimedOut
  | TooLong Int
  | NotUtf8
  | Refused
  | Garbled String
  | CutShort

instance Show Failure where
  show failure = case failure of
    ConnectionFailed cause -> "connection failed: " <> cause
    ConnectionLost cause -> "connection lost: " <> cause
    TimedOut -> "timed out: no data within the idle timeout"
    TooLong limit -> "too long: over the limit of " <> show limit <> " bytes"
    NotUtf8 -> "not UTF-8"
    Refused -> "refused: closed without a reply"
    Garbled why -> "the reply is not a netstring: " <> why
    CutShort -> "the reply was cut short"

instance Exception Failure

parsePeer :: String -> Maybe Peer
parsePeer word = do
  port <- readMaybe digits
  if port > 0 && port < (65536 :: Int) then Just (Peer name port) else Nothing
  where
    (before, digits) = (reverse (dropWhile (/= ':') (reverse word)), reverse (takeWhile (/= ':') (reverse word)))
    name = case before of
      "" -> "127.0.0.1"
      '[' : rest -> takeWhile (/= ']') rest
      _ -> init before

-- | Connects, and closes the socket when @work@ ends, however it ends: also by an exception from another thread. Nothing
-- lazy that reads from the socket may leave @work@, and no type says so; in Rust the stream owns the socket.
withPeer :: Peer -> (Socket -> IO a) -> IO a
withPeer target = bracket (connectTo target) close

-- | Tries the addresses in order, each for 10 s at most.
connectTo :: Peer -> IO Socket
connectTo (Peer name port) = do
  addresses <- failing (getAddrInfo (Just defaultHints {addrSocketType = Stream}) (Just name) (Just (show port)))
  foldr1 (\one others -> one `catch` \(_ :: Failure) -> others) (map attempt addresses)
  where
    failing action = action `catch` (throwIO . ConnectionFailed . shownError)
    attempt address = bracketOnError (failing (openSocket address)) close $ \socket -> do
      connected <- failing (timed 10 (connect socket (addrAddress address)))
      when (connected == Nothing) $ throwIO (ConnectionFailed "timed out while connecting")
      ends <- failing ((,) <$> getSocketName socket <*> getPeerName socket)
      when (uncurry (==) ends) $ throwIO (ConnectionFailed "connected to itself")
      socket <$ noDelay socket

-- | What the peer sends, until its FIN, as a lazy list: each cell is one read, which happens when the list is forced so far.
-- This is what @hGetContents@ does, with what it lacks: a peer that stays silent for 60 s is a failure. As there, a failure
-- comes out of whatever pure code forces the cell.
contents :: Socket -> IO [ByteString]
contents socket = unsafeInterleaveIO $ do
  bytes <- timed 60 (Socket.recv socket bytesPerRead) `catch` (throwIO . ConnectionLost . shownError)
  case bytes of
    Nothing -> throwIO TimedOut
    Just end | B.null end -> pure []
    Just chunk -> (chunk :) <$> contents socket

-- | The same list, which fails when it has more than @limit@ bytes. Nothing is read to find that out: it is found when the
-- list is forced so far.
bounded :: Int -> [ByteString] -> [ByteString]
bounded limit = go limit
  where
    go left (chunk : chunks)
      | B.length chunk > left = throw (TooLong limit)
      | otherwise = chunk : go (left - B.length chunk) chunks
    go _ [] = []
