%%% What a WebSocket client offers in Sec-WebSocket-Extensions, and what is taken of it: permessage-deflate (RFC 7692), nothing else.
%%%
%%% Called by: hornbeam_websocket_handshake. Calls: hornbeam_headers, zlib.
%%%
%%% A client may offer it more than once, the best first: the first offer that can be agreed to is. One with a parameter that is unknown,
%%% repeated or has a wrong value is declined (7.1), as an extension that is not known is, and then messages travel as they are.
-module(hornbeam_websocket_extensions).

-export([negotiate/3, agree/2]).

%% By side: the largest window that it compresses with, whether it forgets it after each message. What is not there has not been
%% spoken of: a window of 15 bits, never forgotten.
-type parameters() :: #{server_bits => 8..15, client_bits => 8..15, server_takeover => no_takeover, client_takeover => no_takeover}.

%% @doc The answer to an offer, and the contexts that Owner, the process that will use them, gets. Settings: the websocket_compress
%% options.
-spec negotiate(Offer :: binary() | undefined, Owner :: pid(), Settings :: map()) ->
    none | {Answer :: binary(), hornbeam_websocket_codec:deflate()}.
negotiate(Offer, Owner, #{websocket_compress := true} = Settings) when is_binary(Offer) ->
    case agree(Offer, Settings) of
        none -> none;
        Agreed -> {answer(Agreed), contexts(Agreed, Owner, Settings)}
    end;
negotiate(_Offer, _Owner, _Settings) ->
    none.

%% @doc What both sides do from now on: what the client offers, what the server wants, of two windows the smaller one. A client that does
%% not speak of client_max_window_bits may use the largest, whatever the server would like (7.1.2.2).
-spec agree(Offer :: binary(), Settings :: map()) -> none | parameters().
agree(Offer, #{websocket_compress_window_bits := Bits, websocket_compress_context := Context}) ->
    case lists:flatmap(fun offered/1, hornbeam_headers:split(Offer, $,)) of
        [Offered | _] ->
            Wanted = maps:from_list([{server_bits, Bits} || Bits < 15]
                                    ++ [{Side, no_takeover} || not Context, Side <- [server_takeover, client_takeover]]),
            maps:map(fun(_, no_takeover) -> no_takeover;
                        (_, Most) -> min(Most, Bits)
                     end, maps:merge(Wanted, Offered));
        [] ->
            none
    end.

offered(Element) ->
    [Name | Parameters] = hornbeam_headers:split(Element, $;),
    Read = lists:flatmap(fun parameter/1, Parameters),
    Offered = maps:from_list(Read),
    [Offered || Name =:= <<"permessage-deflate">>, length(Read) =:= length(Parameters), map_size(Offered) =:= length(Read)].

parameter(<<"server_no_context_takeover">>) -> [{server_takeover, no_takeover}];
parameter(<<"client_no_context_takeover">>) -> [{client_takeover, no_takeover}];
parameter(<<"client_max_window_bits">>) -> [{client_bits, 15}];
parameter(<<"client_max_window_bits=", Value/binary>>) -> [{client_bits, Bits} || Bits <- bits(hornbeam_headers:unquote(Value))];
parameter(<<"server_max_window_bits=", Value/binary>>) -> [{server_bits, Bits} || Bits <- bits(hornbeam_headers:unquote(Value))];
parameter(_) -> [].

bits(<<C>>) when C =:= $8; C =:= $9 -> [C - $0];
bits(<<$1, C>>) when C >= $0, C =< $5 -> [10 + C - $0];
bits(_) -> [].

answer(Agreed) ->
    iolist_to_binary([<<"permessage-deflate">> | [[<<"; ">>, text(Parameter)] || Parameter <- maps:to_list(Agreed)]]).

text({server_takeover, no_takeover}) -> <<"server_no_context_takeover">>;
text({client_takeover, no_takeover}) -> <<"client_no_context_takeover">>;
text({server_bits, Bits}) -> [<<"server_max_window_bits=">>, integer_to_binary(Bits)];
text({client_bits, Bits}) -> [<<"client_max_window_bits=">>, integer_to_binary(Bits)].

%% Negative: without the header of zlib. Its deflate has no window of 8 bits, but with 9 it looks back 250 octets at most, as 8 has it.
contexts(Agreed, Owner, #{websocket_compress_mem_level := Level}) ->
    Inflate = zlib:open(),
    ok = zlib:inflateInit(Inflate, -maps:get(client_bits, Agreed, 15)),
    Deflate = zlib:open(),
    ok = zlib:deflateInit(Deflate, 6, deflated, -max(9, maps:get(server_bits, Agreed, 15)), Level, default),
    _ = [ok = zlib:set_controlling_process(Context, Owner) || Context <- [Inflate, Deflate], Owner =/= self()],
    #{inflate => Inflate, inflate_takeover => maps:get(client_takeover, Agreed, takeover),
      deflate => Deflate, deflate_takeover => maps:get(server_takeover, Agreed, takeover)}.
