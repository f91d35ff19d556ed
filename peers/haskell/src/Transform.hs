{-# LANGUAGE OverloadedStrings #-}

-- | Transforms: functions from poem to poem, found by name (S3).
module Transform (Transform, transforms, lab, answer) where

import Control.Exception (evaluate)
import Control.Monad (when)
import Counts (Refusal (..))
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import qualified Data.ByteString.Char8 as BC
import Data.Char (isAlpha)
import Data.Text (Text)
import qualified Data.Text as T
import Data.Text.Encoding (decodeUtf8', encodeUtf8)
import GHC.Clock (getMonotonicTime)

type Transform = Text -> IO (Either String Text)

-- | Those that every server offers.
transforms :: [(ByteString, Transform)]
transforms =
  [ ("cummingsify", pure . Right . T.toLower . finalSigmas)
  , ("shout", pure . Right . T.toUpper)
  , ("reverse", pure . Right . reverseLines)
  , ("gibberish", const (pure (Left "GibberishError: this transform always fails")))
  ]

-- | Those of @--lab@: they compute for 10 ms, crash, or do both (S20).
lab :: [(ByteString, Transform)]
lab = [("burn", burn), ("crash", crash), ("overheat", \poem -> burn poem >> crash poem)]
  where
    crash _ = pure (Right (error "crashed as requested"))
    burn poem = getMonotonicTime >>= \start -> spin (start + 0.01) >> pure (Right poem)
    spin end = getMonotonicTime >>= \now -> when (now < end) (spin end)

-- | Lower case ends a word with ς, as in Rust. 'T.toLower' knows no neighbours, so this replaces the capital first.
finalSigmas :: Text -> Text
finalSigmas poem
  | T.any (== 'Σ') poem = T.pack (zipWith3 final (' ' : letters) letters (drop 1 letters <> " "))
  | otherwise = poem
  where
    letters = T.unpack poem
    final before 'Σ' after | isAlpha before && not (isAlpha after) = 'ς'
    final _ letter _ = letter

-- | The lines in reverse order; a final newline stays at the end.
reverseLines :: Text -> Text
reverseLines poem = case T.stripSuffix "\n" poem of
  Just body -> reversed body <> "\n"
  Nothing -> reversed poem
  where
    reversed = T.intercalate "\n" . reverse . T.splitOn "\n"

-- | The reply to @NAME.POEM@, or why it is refused (S4). 'evaluate' computes the reply here: without it the reply would be a
-- thunk, and a transform that crashes (S20) would crash in the line that sends it, behind this function's back.
answer :: [(ByteString, Transform)] -> Int -> ByteString -> IO (Either (Refusal, String) ByteString)
answer known limit request
  | B.null dot = refuse NoDot "no dot in the request"
  | otherwise = case (lookup name known, decodeUtf8' (B.drop 1 dot)) of
    (Nothing, _) -> refuse UnknownTransform ("unknown transform " <> show (B.take 40 name))
    (_, Left _) -> refuse NotUtf8 "the poem is not UTF-8"
    (Just transform, Right poem) -> transform poem >>= either failed sized
  where
    (name, dot) = BC.break (== '.') request
    refuse refusal why = pure (Left (refusal, why))
    failed why = refuse TransformFailed ("the transform " <> BC.unpack name <> " failed: " <> why)
    sized poem = do
      reply <- evaluate (encodeUtf8 poem)
      if B.length reply > limit then refuse ReplyTooLong "the reply is over the frame limit" else pure (Right reply)
