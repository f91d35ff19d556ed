{-# LANGUAGE ScopedTypeVariables #-}

-- | A peer of a client: its address, a connection to it, and what it sends, as a lazy list.
module Peer (Peer (..), Failure (..), Addresses, parsePeer, resolved, withAddress, contents, getPoetry) where

import Control.Exception
import Control.Monad (when)
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Foldable (for_)
import Data.Text.Encoding (decodeUtf8')
import Network.Socket
import qualified Network.Socket.ByteString as Socket
import Options (ClientOptions (..))
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
  | TimedOut String
  | TooLong Int
  | NotUtf8
  | Empty
  | Refused
  | Garbled String
  | CutShort

instance Show Failure where
  show failure = case failure of
    ConnectionFailed cause -> "connection failed: " <> cause
    ConnectionLost cause -> "connection lost: " <> cause
    TimedOut why -> "timed out: " <> why
    TooLong limit -> "too long: over the limit of " <> show limit <> " bytes"
    NotUtf8 -> "not UTF-8"
    Empty -> "the poem is empty"
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

-- | Where to connect to: the action that finds it out, or what has been found.
type Addresses = IO [AddrInfo]

resolved :: Peer -> Addresses
resolved (Peer name port) =
  failing (getAddrInfo (Just defaultHints {addrSocketType = Stream}) (Just name) (Just (show port)))

failing :: IO a -> IO a
failing action = action `catch` (throwIO . ConnectionFailed . shownError)

-- | Connects, and closes the socket when @work@ ends, however it ends: also by an exception from another thread. Nothing
-- lazy that reads from the socket may leave @work@, and no type says so; in Rust the stream owns the socket.
withAddress :: ClientOptions -> Addresses -> (Socket -> IO a) -> IO a
withAddress limits addresses = bracket (connectTo limits addresses) close

-- | Tries the addresses in order, each for the connect timeout at most.
connectTo :: ClientOptions -> Addresses -> IO Socket
connectTo limits addresses =
  addresses >>= foldr1 (\one others -> one `catch` \(_ :: Failure) -> others) . map attempt
  where
    attempt address = bracketOnError (failing (openSocket address)) close $ \socket -> do
      connected <- failing (timed (connectTimeout limits) (connect socket (addrAddress address)))
      when (connected == Nothing) $ throwIO (ConnectionFailed "timed out while connecting")
      ends <- failing ((,) <$> getSocketName socket <*> getPeerName socket)
      when (uncurry (==) ends) $ throwIO (ConnectionFailed "connected to itself")
      socket <$ noDelay socket

-- | The whole poem; @progress@ is told the bytes of each read.
getPoetry :: ClientOptions -> (Int -> IO ()) -> Addresses -> IO ByteString
getPoetry limits progress addresses = do
  fetched <- inTime . withAddress limits addresses $ \socket -> do
    chunks <- bounded (poemBytesMax limits) <$> contents limits socket -- Nothing has been read so far.
    B.concat chunks <$ for_ chunks (progress . B.length) -- Each step forces a cell of the list, and so reads once.
  poem <- maybe (throwIO (TimedOut "the total deadline passed")) pure fetched
  either (const (throwIO NotUtf8)) (const (pure poem)) (decodeUtf8' poem)
  where
    inTime = maybe (fmap Just) timed (totalDeadline limits)

-- ANCHOR: contents
-- | What the peer sends, until its FIN, as a lazy list: each cell is one read, which happens when the list is forced so far.
-- This is what @hGetContents@ does, with what it lacks: a peer that stays silent for too long is a failure. As there, a
-- failure comes out of whatever pure code forces the cell.
contents :: ClientOptions -> Socket -> IO [ByteString]
contents limits socket = unsafeInterleaveIO $ do
  bytes <- timed (silenceMax limits) (Socket.recv socket bytesPerRead) `catch` (throwIO . ConnectionLost . shownError)
  case bytes of
    Nothing -> throwIO (TimedOut "no data within the idle timeout")
    Just end | B.null end -> pure []
    Just chunk -> (chunk :) <$> contents limits socket

-- | The same list, which fails when it has more than @limit@ bytes. Nothing is read to find that out: it is found when the
-- list is forced so far.
bounded :: Int -> [ByteString] -> [ByteString]
bounded limit = go limit
  where
    go left (chunk : chunks)
      | B.length chunk > left = throw (TooLong limit)
      | otherwise = chunk : go (left - B.length chunk) chunks
    go _ [] = []
-- ANCHOR_END: contents
