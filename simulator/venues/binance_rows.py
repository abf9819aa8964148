"""Words Binance's orders and order lists as its answers show them; shapes from rest-api.md, read 2026-11-20."""

from collections.abc import Mapping
from typing import Final

from simulator.book import Order, OrderList, State

STATUSES: Final[Mapping[State, str]] = {
    State.OPEN: "NEW",
    State.PARTLY_FILLED: "PARTIALLY_FILLED",
    State.FILLED: "FILLED",
    State.CANCELED: "CANCELED",
    State.EXPIRED: "EXPIRED",
    State.REJECTED: "REJECTED",
}


def cancel_report(order: Order, cancel_id: str, venue_ms: int) -> dict[str, object]:
    """Give one order as a cancel answers it: ``clientOrderId`` is the cancel's own id here."""
    return {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id or "",
        "orderId": int(order.order_id),
        "orderListId": int(order.order_list_id or -1),
        "clientOrderId": cancel_id,
        "transactTime": venue_ms,
        **_amounts(order),
        "status": STATUSES[order.state],
        **_terms(order),
    }


def order_row(order: Order) -> dict[str, object]:
    """Give one order as a query answers it."""
    return {
        "symbol": order.symbol,
        "orderId": int(order.order_id),
        "orderListId": int(order.order_list_id or -1),
        "clientOrderId": order.client_order_id or "",
        **_amounts(order),
        "status": STATUSES[order.state],
        **_terms(order),
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.created_ms,
    }


def list_row(order_list: OrderList) -> dict[str, object]:
    """Give an order list as a query answers it: its legs by their ids alone, without any status."""
    return _list_head(order_list, order_list.created_ms)


def canceled_list_row(order_list: OrderList, cancel_id: str, venue_ms: int) -> dict[str, object]:
    """Give an order list as a cancel answers it, with a report for each leg."""
    reports = [cancel_report(leg, cancel_id, venue_ms) for leg in order_list.legs]
    return {**_list_head(order_list, venue_ms), "orderReports": reports}


def _list_head(order_list: OrderList, at_ms: int) -> dict[str, object]:
    live = any(leg.live for leg in order_list.legs)
    return {
        "orderListId": int(order_list.order_list_id),
        "contingencyType": order_list.contingency,
        "listStatusType": "EXEC_STARTED" if live else "ALL_DONE",
        "listOrderStatus": "EXECUTING" if live else "ALL_DONE",
        "listClientOrderId": order_list.client_order_list_id,
        "transactionTime": at_ms,
        "symbol": order_list.symbol,
        "orders": [
            {"symbol": leg.symbol, "orderId": int(leg.order_id), "clientOrderId": leg.client_order_id or ""}
            for leg in order_list.legs
        ],
    }


def _amounts(order: Order) -> dict[str, object]:
    return {
        "price": order.price,
        "origQty": order.qty,
        "executedQty": order.filled_qty,
        "origQuoteOrderQty": "0.000000",
        "cummulativeQuoteQty": order.filled_qty,
    }


def _terms(order: Order) -> dict[str, object]:
    return {
        "timeInForce": "GTC",
        "type": "LIMIT_MAKER" if order.order_list_id else "LIMIT",
        "side": order.side.upper(),
        "selfTradePreventionMode": "NONE",
    }
