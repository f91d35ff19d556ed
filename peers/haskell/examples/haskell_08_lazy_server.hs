{-# LANGUAGE OverloadedStrings #-}

-- Step 8: a transform server that is a function from all that a client sends to all that it gets. Both are lazy: a request
-- is read when its reply is to be written, and a client that does not take its replies is not read from. It has no limits
-- and no deadlines, and does not say what it refuses: where would a function put that?
import Control.Concurrent (forkFinally)
import Control.Monad (forever)
import qualified Data.ByteString.Char8 as B
import qualified Data.ByteString.Lazy as L
import qualified Data.ByteString.Builder as Builder
import qualified Data.Text as T
import Data.Text.Encoding (decodeUtf8', encodeUtf8)
import Netstring
import Network.Socket
import System.Environment (getArgs)
import System.IO (IOMode (ReadWriteMode), hClose)

main :: IO ()
main = do
  [port] <- getArgs
  address : _ <- getAddrInfo (Just defaultHints {addrSocketType = Stream}) (Just "127.0.0.1") (Just port)
  listener <- openSocket address
  setSocketOption listener ReuseAddr 1
  bind listener (addrAddress address)
  listen listener 4096
  forever $ do
    (accepted, _) <- accept listener
    handle <- socketToHandle accepted ReadWriteMode
    forkFinally (L.hGetContents handle >>= L.hPut handle . replies) (const (hClose handle))

replies :: L.ByteString -> L.ByteString
replies = L.concat . map Builder.toLazyByteString . answers . L.toChunks

-- | A reply to each request, until one is refused or the client has finished.
answers :: [B.ByteString] -> [Builder.Builder]
answers = next (netstring 99999)
  where
    next _ [] = []
    next decode (chunk : chunks) = case decode chunk of
      More more -> next more chunks
      Wrong _ -> []
      Frame request rest -> maybe [] (\reply -> framed reply : next (netstring 99999) (rest : chunks)) (transformed request)

transformed :: B.ByteString -> Maybe B.ByteString
transformed request = do
  let (name, poem) = B.break (== '.') request
  transform <- lookup name [("cummingsify", T.toLower), ("shout", T.toUpper)]
  text <- either (const Nothing) Just (decodeUtf8' (B.drop 1 poem))
  pure (encodeUtf8 (transform text))
