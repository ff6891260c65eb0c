%%% A text as the inside of a JSON string (RFC 8259, 7). OTP 25 has no JSON, and a log line needs no more.
%%%
%%% Called by: hornbeam_access_line, hornbeam_log_format.
-module(hornbeam_json).

-export([escape/1, is_plain/1]).

%% @doc Bytes that are no UTF-8 become U+FFFD each, so that the result is always a JSON string.
-spec escape(binary()) -> iodata().
escape(Text) ->
    case is_plain(Text) of
        true -> Text;
        false -> escape(Text, <<>>)
    end.

%% @doc Printable ASCII without the quote and the backslash, as nearly every text is: nothing to escape.
-spec is_plain(binary()) -> boolean().
is_plain(<<C, Rest/binary>>) when C >= $\s, C < 127, C =/= $", C =/= $\\ -> is_plain(Rest);
is_plain(Rest) -> Rest =:= <<>>.

escape(<<$", Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "\\\"">>);
escape(<<$\\, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "\\\\">>);
escape(<<C, Rest/binary>>, Acc) when C < 32; C =:= 127 ->
    escape(Rest, <<Acc/binary, "\\u00", (binary:encode_hex(<<C>>))/binary>>);
escape(<<C/utf8, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, C/utf8>>);
escape(<<_, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, 16#fffd/utf8>>);
escape(<<>>, Acc) -> Acc.
